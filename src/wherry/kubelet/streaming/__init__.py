"""What streams between a client and a container: logs, exec, attach, port-forward, and the protocols they travel in."""
