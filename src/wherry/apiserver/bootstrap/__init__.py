"""What a new cluster holds before anybody asked for anything."""
