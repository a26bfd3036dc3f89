"""Datagrams in tier proc: every call that names an address finds the pod, and who answers is who was asked."""

from __future__ import annotations

from runtime_world import World, client, proc_launcher, world

from wherry.launcher.client import LauncherClient

__all__ = ["client", "world"]

ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 53))
sock.settimeout(60)
print("listens", flush=True)
while True:
    data, who = sock.recvfrom(2000)
    sock.sendto(data + who[0].encode(), who)
"""
CLIENT = r"""
import ctypes, select, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
host, port = sys.argv[1], int(sys.argv[2])
def answered(sock, data):
    sock.settimeout(60)
    got, _, _, who = sock.recvmsg(2000)
    assert got.startswith(data), got
    print(data.decode(), got[len(data):].decode(), *who[:2])
for name in ("sendto", "sendmsg", "connected", "twice"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        data = name.encode()
        if name == "sendto":
            sock.sendto(data, (host, port))
        elif name == "sendmsg":
            sock.sendmsg([data[:3], data[3:]], [(socket.SOL_IP, socket.IP_TOS, struct.pack("i", 8))], 0, (host, port))
        elif name == "connected":
            sock.connect((host, port))
            sock.send(data)
        else:
            sock.bind(("0.0.0.0", 0))
            name = socket.inet_aton(host)
            address = ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack(">H", port) + name + bytes(8))
            text = ctypes.create_string_buffer(data, len(data))
            piece = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), len(data)))
            one = struct.pack("=QI4xQQQQi4xI4x", ctypes.addressof(address), 16, ctypes.addressof(piece), 1, 0, 0, 0, 0)
            both = ctypes.create_string_buffer(one + one)
            print("sent", libc.sendmmsg(sock.fileno(), both, 2, 0))
            answered(sock, data)
        answered(sock, data)
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"mapped", ("::ffff:" + host, port))
    answered(sock, b"mapped")
full = 170 * [(1000, 1, b"somebody")] + [(1000, 1, b"")]
for family, name in ((socket.AF_INET, host), (socket.AF_INET6, "::ffff:" + host)):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:  # as many control messages as are taken, of a level that is nobody's
        print("full", *(sock.sendmsg([b"full"], full, 0, (name, port)) for _ in range(100)))
        answered(sock, b"full")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    print("number", sock.fileno() >= 896, select.select([], [sock], [], 0)[1] == [sock])
    sock.setblocking(False)
    try:
        sock.recvfrom(10)
    except BlockingIOError:
        print("empty")
with socket.socket() as sock:
    print("stream", sock.fileno() < 100)
    try:
        sock.sendto(b"x", 0x20000000, (host, port))
    except OSError as error:
        print(error.strerror)
for family, kind, protocol in ((2, socket.SOCK_SEQPACKET, 132), (2, socket.SOCK_STREAM, 262), (43, socket.SOCK_STREAM, 0)):
    try:
        socket.socket(family, kind, protocol)
    except OSError as error:
        print(error.strerror)
"""

launcher = proc_launcher()


async def test_who_is_asked_answers(world: World, client: LauncherClient) -> None:
    """Resolvers drop an answer from another address than they asked: musl's, c-ares, dnspython."""
    server, own = world.config(), world.config()
    asked, asking = await world.runtime.run_pod_sandbox(server), await world.runtime.run_pod_sandbox(own)
    await world.until_printed(await world.start(asked, ["python3", "-c", ECHO]), "listens")
    services = {"kube-system/dns": [["10.96.0.10", "udp", 53, False, [[server.ip, 53]]]]}
    await client.call("node.services", services=services, range="10.96.0.0/16", replace=True)
    for host in (server.ip, "10.96.0.10"):
        code, text = await world.run(asking, ["python3", "-c", CLIENT, host, "53"])
        assert code == 0, text
        mine = f"{own.ip} {host} 53"
        assert text.splitlines() == [
            f"sendto {mine}",
            f"sendmsg {mine}",
            f"connected {mine}",
            *("sent 2", f"twice {mine}", f"twice {mine}"),
            f"mapped {own.ip} ::ffff:{host} 53",
            *("full" + 100 * " 4", f"full {mine}", "full" + 100 * " 4", f"full {own.ip} ::ffff:{host} 53"),
            *("number True True", "empty", "stream True", "Operation not supported"),
            *(3 * ["Protocol not supported"]),
        ]
    assert "Traceback" not in world.launcher.said()
