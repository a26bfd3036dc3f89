"""Sends `hi` to HOST PORT by UDP and prints the answer."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(1)
    sock.connect((sys.argv[1], int(sys.argv[2])))
    sock.send(b"hi")
    print(sock.recv(99).decode())
