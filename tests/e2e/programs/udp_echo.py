"""Answers every datagram on 8080 with its host name."""

import os
import signal
import socket

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # pid 1 hears no signal it has no handler for
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 8080))
print("serves", flush=True)
while True:
    data, client = sock.recvfrom(2048)
    sock.sendto(os.environ["HOSTNAME"].encode() + b" " + data, client)
