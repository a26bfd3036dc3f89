"""Asks the resolver of /etc/resolv.conf one question and prints its answers, one per line: `dns.py NAME A|SRV|PTR`."""

import secrets
import socket
import struct
import sys

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "SRV": 33}


def name_at(data, at):
    labels, end = [], None
    while data[at]:
        if data[at] >= 192:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
        else:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
    return ".".join(labels), end or at + 1


def value(data, kind, at, length):
    if kind == 1:
        return socket.inet_ntoa(data[at : at + length])
    if kind == 33:
        _, _, port = struct.unpack_from(">HHH", data, at)
        return f"{port} {name_at(data, at + 6)[0]}"
    return name_at(data, at)[0]


def ask(name, kind):
    with open("/etc/resolv.conf") as lines:
        [server, *_] = [line.split()[1] for line in lines if line.startswith("nameserver")]
    question = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0"
    query = struct.pack(">HHHHHH", secrets.randbits(16), 0x100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((server, 53))
        sock.send(query)
        data = sock.recv(4096)
    code, count = data[3] & 15, struct.unpack_from(">H", data, 6)[0]
    at = 12 + len(question) + 4
    found = []
    for _ in range(count):
        _, at = name_at(data, at)
        kind, _, _, length = struct.unpack_from(">HHIH", data, at)
        found.append(value(data, kind, at + 10, length))
        at += 10 + length
    return code, sorted(found)


code, found = ask(sys.argv[1], TYPES[sys.argv[2]])
print("\n".join(found) if found else {0: "NOERROR", 3: "NXDOMAIN"}.get(code, code))
