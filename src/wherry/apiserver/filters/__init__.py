"""What every request passes before its verb: one filter per file."""
