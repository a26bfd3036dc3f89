"""Make this machine match its pods."""
