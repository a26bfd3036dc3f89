"""Answers grpc.health.v1.Health/Check on 8080: SERVING, or NOT_SERVING once /tmp/broken is there.

HTTP/2 by hand: settings, one request per stream, a fixed header block; enough for a client that asks and listens.
"""

import os
import signal
import socket
import threading

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # pid 1 hears no signal it has no handler for
LITERAL = b"\x00"  # HPACK: a literal header field without indexing, new name


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    return LITERAL + bytes([len(name)]) + name + bytes([len(value)]) + value


def exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def talk(sock):
    try:
        exactly(sock, 24)  # the preface
        sock.sendall(frame(4, 0, 0))
        while True:
            head = exactly(sock, 9)
            length, kind, flags, stream = (
                int.from_bytes(head[:3], "big"),
                head[3],
                head[4],
                int.from_bytes(head[5:], "big"),
            )
            payload = exactly(sock, length)
            if kind == 4 and not flags & 1:
                sock.sendall(frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                sock.sendall(frame(6, 1, 0, payload))
            elif kind in (0, 1) and flags & 1:
                status = b"\x08\x02" if os.path.exists("/tmp/broken") else b"\x08\x01"
                body = b"\x00" + len(status).to_bytes(4, "big") + status
                sock.sendall(
                    frame(1, 4, stream, b"\x88" + field(b"content-type", b"application/grpc"))
                    + frame(0, 0, stream, body)
                    + frame(1, 5, stream, field(b"grpc-status", b"0"))
                )
    except OSError:
        sock.close()


server = socket.create_server(("0.0.0.0", 8080))
print("serves", flush=True)
while True:
    threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
