"""One rule about nodes per file."""
