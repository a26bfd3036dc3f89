"""What benchmarks/proc.py has done in a pod, or beside one: does what it is told on one connection and says how long it took.

Runs as `python3 -c <this text> HOST PORT`, with the standard library only; a line is a command with its words, an answer is
one line of JSON. Times are nanoseconds, each of one call.
"""

import json
import os
import select
import socket
import struct
import sys
import time

_clock = time.perf_counter_ns
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing leaves no TIME_WAIT behind


def connect(host, port, count):
    """Connections to a listener that nobody serves meanwhile, so that only connect(2) is measured."""
    times = []
    for _ in range(int(count)):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        before = _clock()
        sock.connect((host, int(port)))
        times.append(_clock() - before)
        sock.close()
    return times


def now_and_then(host, port, count, milliseconds):
    """As `connect`, with pauses: whoever answers has slept, and so has the core."""
    times = []
    for _ in range(int(count)):
        time.sleep(int(milliseconds) / 1000)
        times += connect(host, port, 1)
    return times


def at_once(host, port, processes, count):
    """By so many processes at once: the time of all, shared out to the connections."""
    gate, opener = os.pipe()
    pids = []
    for _ in range(int(processes)):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.close(opener)
            os.read(gate, 1)
            connect(host, port, count)
            os._exit(0)
    os.close(gate)
    time.sleep(0.02)  # all of them wait by then
    before = _clock()
    os.close(opener)
    for pid in pids:
        os.waitpid(pid, 0)
    return [(_clock() - before) // (int(processes) * int(count))]


def files(call, path, count):
    """open (and close) or stat."""
    times = []
    for _ in range(int(count)):
        before = _clock()
        if call == "stat":
            os.stat(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
        times.append(_clock() - before)
    return times


def round_trips(host, port, count):
    """Requests and their answers on one connection."""
    times = []
    with socket.create_connection((host, int(port))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(int(count)):
            before = _clock()
            sock.sendall(b"x")
            sock.recv(64)
            times.append(_clock() - before)
    return times


def requests(host, port, depth, count):
    """Nanoseconds for `count` requests over `depth` connections that stay open."""
    socks = [socket.create_connection((host, int(port))) for _ in range(int(depth))]
    poll, by_fd = select.epoll(), {sock.fileno(): sock for sock in socks}
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock, select.EPOLLIN)
        sock.sendall(b"x")
    left, before = int(count), _clock()
    while left > 0:
        for fd, _ in poll.poll():
            by_fd[fd].recv(64)
            by_fd[fd].sendall(b"x")
            left -= 1
    took = _clock() - before
    for sock in socks:
        sock.close()
    return [took]


def stream(host, port, megabytes):
    """Nanoseconds for so much from the server."""
    buffer = bytearray(1 << 20)
    with socket.create_connection((host, int(port))) as sock:
        before = _clock()
        sock.sendall(b"stream %s" % megabytes.encode())
        while sock.recv_into(buffer):
            pass
        return [_clock() - before]


class Quiet:
    """A listener whose connections are taken when that is asked for."""

    def __init__(self):
        self._sock = None

    def listen(self, port):
        self._sock = socket.create_server(("", int(port)), backlog=4096)
        self._sock.setblocking(False)
        return [self._sock.getsockname()[1]]

    def drain(self):
        count = 0
        try:
            while True:
                self._sock.accept()[0].close()
                count += 1
        except BlockingIOError:
            return [count]


def serve(port):
    """Answers each request with a byte, for ever. In a process of its own."""
    listener = socket.create_server(("", int(port)), backlog=1024)
    if os.fork():
        return [listener.getsockname()[1]]
    poll, clients, bulk = select.epoll(), {}, bytes(1 << 20)
    poll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
                continue
            data = _received(clients[fd])
            if data.startswith(b"stream"):
                for _ in range(int(data[6:])):
                    clients[fd].sendall(bulk)
                data = b""
            if data:
                clients[fd].sendall(b"y")
            else:
                poll.unregister(fd)
                clients.pop(fd).close()


def _received(sock):
    try:
        return sock.recv(64)
    except OSError:
        return b""


def main(host, port):
    quiet = Quiet()
    commands = {"connect": connect, "now_and_then": now_and_then, "at_once": at_once, "files": files,
                "round_trips": round_trips, "requests": requests, "stream": stream, "listen": quiet.listen,
                "drain": quiet.drain, "serve": serve}  # fmt: skip
    with socket.create_connection((host, int(port))) as control, control.makefile("rw") as lines:
        for line in lines:
            command, *words = line.split()
            lines.write(json.dumps(commands[command](*words)) + "\n")
            lines.flush()


main(*sys.argv[1:])
