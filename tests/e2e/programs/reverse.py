"""Listens on 127.0.0.1:7000 only and answers each connection's first bytes backwards."""

import os
import signal
import socket

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # pid 1 hears no signal it has no handler for
server = socket.create_server(("127.0.0.1", 7000))
print("listens", flush=True)
while True:
    client, _ = server.accept()
    client.sendall(client.recv(10)[::-1])
    client.close()
