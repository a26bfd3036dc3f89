"""Tier proc, decided without a process: real addresses, the table of ports, where connections go, the filter."""

from __future__ import annotations

import errno
import random
import socket
import struct
from pathlib import Path

import pytest

from wherry.launcher.proc import landlock, notify, seccomp_filter, static_rules
from wherry.launcher.proc import routing as module
from wherry.launcher.proc.addresses import Address, Block, decode
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.paths import Paths
from wherry.launcher.proc.ports import OWN, TCP, UDP, Ports
from wherry.launcher.proc.routing import Routing

A, B, GATEWAY = "10.244.0.7", "10.244.3.9", "10.244.0.1"


@pytest.fixture
def routing(tmp_path: Path) -> Routing:
    ports = Ports(str(tmp_path / "ports"))
    ports.clear()
    ports.add(A)
    ports.add(B)
    found = Routing(Block.of("/state", GATEWAY), ports, random.Random(1))
    found.set_services({"replace": True, "range": "10.96.0.0/16", "services": {}})
    return found


def guest(ip: str = A) -> Guest:
    return Guest(-1, "sandbox", "container", ip, "host", Paths(()))


def to(routing: Routing, host: str, port: int, protocol: str = TCP, ip: str = A) -> tuple[str, int] | None:
    found = routing.route(guest(ip), Address(socket.AF_INET, socket.inet_aton(host), port), protocol)
    return found.python() if found else None


def refused(routing: Routing, host: str, port: int, ip: str = A) -> int:
    with pytest.raises(Refusal) as refusal:
        to(routing, host, port, ip=ip)
    return refusal.value.number


def test_blocks_are_the_systems_own_and_clear_of_localhost() -> None:
    blocks = {Block.of(f"/state/{number}", GATEWAY).second for number in range(1000)}
    assert len(blocks) > 50
    assert min(blocks) >= 64
    assert max(blocks) <= 250
    block = Block.of("/state", GATEWAY)
    packed = socket.inet_aton(A)
    assert block.pod(block.shared(packed)) == packed
    assert block.pod(block.private(packed)) is None
    assert block.is_private(block.private(packed))


def test_addresses_of_both_families_are_one() -> None:
    v4 = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 80) + socket.inet_aton("1.2.3.4") + bytes(8)
    assert decode(v4) == Address(socket.AF_INET, socket.inet_aton("1.2.3.4"), 80)
    for text, ip in (("::ffff:1.2.3.4", "1.2.3.4"), ("::", "0.0.0.0"), ("::1", "127.0.0.1")):
        raw = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", 80, 0) + socket.inet_pton(socket.AF_INET6, text)
        assert decode(raw + bytes(4)) == Address(socket.AF_INET6, socket.inet_aton(ip), 80)
    mapped = Address(socket.AF_INET6, socket.inet_aton("1.2.3.4"), 80)
    assert decode(mapped.encode()) == mapped
    for junk in (b"", b"\2\0", bytes(7), b"\1\0/tmp/socket", b"\n\0" + bytes(8)):
        assert decode(junk) is None


def test_a_port_is_where_it_was_recorded_last(tmp_path: Path) -> None:
    ports = Ports(str(tmp_path / "ports"))
    ports.clear()
    ports.record(A, TCP, 80, ("127.0.0.1", 1))  # of a pod that has just ended
    assert ports.find(A, TCP, 80) is None
    ports.add(A)
    ports.record(A, TCP, 80, ("127.98.0.7", 4001))
    ports.record(A, TCP, 80, ("127.98.0.7", 4002))
    assert ports.find(A, TCP, 80) == ("127.98.0.7", 4002)
    assert ports.find(A, UDP, 80) is None
    assert ports.reverse(A, TCP, ("127.98.0.7", 4002)) == 80
    assert ports.reverse(A, TCP, ("127.98.0.7", 4001)) is None
    ports.record(A, TCP, 80, ("127.99.0.7", 80), OWN)
    assert ports.reverse(A, TCP, ("127.99.0.7", 80), OWN) == 80
    assert ports.reverse(A, TCP, ("127.99.0.7", 80)) is None
    assert [(port, place) for _, port, place in ports.of(A)] == [(80, ("127.98.0.7", 4002))]
    ports.drop(A)
    assert ports.find(A, TCP, 80) is None
    assert not ports.exists(A)


def test_loopback_is_the_pods_own(routing: Routing) -> None:
    routing.ports.record(A, TCP, 80, ("127.98.0.7", 80))
    routing.ports.record(A, TCP, 9000, ("127.99.0.7", 9000), OWN)
    assert to(routing, "127.0.0.1", 80) == ("127.98.0.7", 80)
    assert to(routing, "127.0.0.1", 9000) == ("127.99.0.7", 9000)
    assert refused(routing, "127.0.0.1", 80, ip=B) == errno.ECONNREFUSED
    assert refused(routing, "127.0.0.53", 53) == errno.ECONNREFUSED
    assert to(routing, "127.0.0.1", 80, ip="") is None  # in the machine's network


def test_pods_reach_what_pods_show(routing: Routing) -> None:
    routing.ports.record(B, TCP, 80, ("127.98.3.9", 41000))
    routing.ports.record(B, TCP, 9000, ("127.99.3.9", 9000), OWN)
    assert to(routing, B, 80) == ("127.98.3.9", 41000)
    assert refused(routing, B, 9000) == errno.ECONNREFUSED
    assert (
        refused(routing, B, 22) == errno.ECONNREFUSED
    )  # what the machine has there on all its addresses is not the pod's
    assert refused(routing, "10.244.9.9", 80) == errno.EHOSTUNREACH
    block = routing.block
    assert to(routing, socket.inet_ntoa(block.shared(socket.inet_aton(B))), 80) == ("127.98.3.9", 41000)
    assert refused(routing, socket.inet_ntoa(block.private(socket.inet_aton(B))), 9000) == errno.ECONNREFUSED


def test_datagrams_find_their_way_back(routing: Routing) -> None:
    shared = socket.inet_ntoa(routing.block.shared(socket.inet_aton(B)))
    assert to(routing, shared, 45000, UDP) == (shared, 45000)
    with pytest.raises(Refusal):
        to(routing, shared, 53, UDP)


def test_services_lead_to_endpoints(routing: Routing) -> None:
    routing.ports.record(A, TCP, 8080, ("127.98.0.7", 8080))
    routing.ports.record(B, TCP, 8080, ("127.98.3.9", 8080))
    both = [[A, 8080], [B, 8080]]
    message = {"replace": True, "range": "10.96.0.0/16", "services": {
        "shop/cart": [["10.96.1.1", "tcp", 80, False, both], ["10.244.0.1", "tcp", 30080, False, both]],
        "shop/sticky": [["10.96.1.2", "tcp", 80, True, both]],
        "shop/empty": [["10.96.1.3", "tcp", 80, False, []]],
        "shop/outside": [["10.96.1.4", "tcp", 80, False, [["192.0.2.9", 5432]]]],
    }}  # fmt: skip
    routing.set_services(message)
    assert {to(routing, "10.96.1.1", 80) for _ in range(50)} == {("127.98.0.7", 8080), ("127.98.3.9", 8080)}
    assert len({to(routing, "10.96.1.2", 80) for _ in range(50)}) == 1
    assert to(routing, "10.244.0.1", 30080) in {("127.98.0.7", 8080), ("127.98.3.9", 8080)}
    assert to(routing, "10.244.0.1", 5000) == ("127.0.0.1", 5000)  # the machine's
    assert to(routing, "10.96.1.4", 80) == ("192.0.2.9", 5432)
    assert refused(routing, "10.96.1.3", 80) == errno.ECONNREFUSED
    assert refused(routing, "10.96.1.1", 81) == errno.ECONNREFUSED
    assert to(routing, "192.0.2.1", 80) is None
    routing.set_services({"replace": False, "range": "10.96.0.0/16", "services": {"shop/cart": None}})
    assert refused(routing, "10.96.1.1", 80) == errno.ECONNREFUSED


def test_what_was_found_holds_until_something_changes(routing: Routing, tmp_path: Path) -> None:
    elsewhere = Ports(str(tmp_path / "ports"))  # another process's
    routing.set_services({"replace": True, "range": "10.96.0.0/16", "services": {
        "shop/cart": [["10.96.1.1", "tcp", 80, False, [[B, 8080]]]],
    }})  # fmt: skip
    for _ in range(2):
        assert refused(routing, "10.96.1.1", 80) == refused(routing, B, 8080) == errno.ECONNREFUSED
    for port in (41000, 41001):
        elsewhere.record(B, TCP, 8080, ("127.98.3.9", port))
        for _ in range(2):
            assert to(routing, "10.96.1.1", 80) == to(routing, B, 8080) == ("127.98.3.9", port)
    way = ["tcp", ["127.98.3.9", 41001], ["127.98.0.1", 5000], 8080, [A]]
    routing.set_detours([way])
    assert to(routing, B, 8080) == ("127.98.0.1", 5000)
    assert to(routing, B, 8080, ip=B) == ("127.98.3.9", 41001)
    routing.set_detours([])
    assert to(routing, B, 8080) == ("127.98.3.9", 41001)
    elsewhere.drop(B)
    assert refused(routing, B, 8080) == errno.EHOSTUNREACH
    assert to(routing, "192.0.2.7", 80) is None
    elsewhere.add("192.0.2.7")
    assert refused(routing, "192.0.2.7", 80) == errno.ECONNREFUSED


def test_what_is_remembered_is_bounded(routing: Routing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 10)
    routing.ports.record(B, TCP, 80, ("127.98.3.9", 80))
    for number in range(40):
        assert to(routing, f"192.0.2.{number}", 80) is None
        assert to(routing, B, 80) == ("127.98.3.9", 80)
        assert len(routing._known) <= 10


def verdict(
    number: int, arguments: tuple[int, ...] = (0,) * 6, architecture: int = 0xC000003E, code: bytes = b""
) -> str:
    """What the filter says to a call: a small interpreter of classic BPF."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments)
    steps = list(struct.iter_unpack("=HBBI", code or seccomp_filter.program()))
    accumulator, at = 0, 0
    while True:
        operation, yes, no, k = steps[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x06:
            known = {0x7FFF0000: "allow", 0x7FC00000: "notify", 0x80000000: "kill"}
            return known.get(k) or errno.errorcode[k & 0xFFFF]
        elif operation == 0x54:
            accumulator &= k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += yes if holds else no


@pytest.mark.parametrize("streams", [False, True])
def test_what_the_filter_asks_about_is_known_outside_of_it(streams: bool) -> None:
    code = seccomp_filter.program(streams=streams)
    for number in range(600):
        for arguments in ([0] * 6, [1] * 6, [notify.WINDOW[0]] * 6, [2, 1, 0, 0, 0, 0], [3, 0, 0, 0x1000, 1 << 40, 0]):
            assert seccomp_filter.asks(code, number, arguments) == (
                verdict(number, tuple(arguments), code=code) == "notify"
            )


def test_the_filter_asks_about_names_only() -> None:
    every = {**notify.NETWORK, **notify.FILES, **static_rules.PROCESSES}
    asked = {number for number in range(600) if verdict(number, (1, 1, 1, 1, 1, 1)) == "notify"}
    assert asked == {*every.values(), notify.IO_URING_SETUP}  # io_uring would go round all of it
    assert verdict(notify.NETWORK["sendto"]) == "allow"  # a connected socket's: no address
    assert verdict(notify.NETWORK["sendto"], (0, 0, 0, 0, 1 << 40, 0)) == "notify"
    assert verdict(notify.FILES["newfstatat"], (3, 0, 0, 0x1000, 0, 0)) == "allow"  # fstat
    assert verdict(notify.FILES["statx"], (3, 0, 0x1000, 0, 0, 0)) == "allow"
    assert verdict(0) == verdict(1) == verdict(47) == "allow"
    assert verdict(323) == "EPERM"  # userfaultfd: a page could make whoever reads it wait
    assert verdict(0x40000000 | 42) == "ENOSYS"  # x32
    assert verdict(42, architecture=0x40000003) == verdict(1, architecture=0x40000003) == "notify"  # i386


def test_the_filter_asks_about_other_processes_and_never_about_ones_own() -> None:
    for name, number in static_rules.PROCESSES.items():
        own, other = (
            (0, pid, 1, 0, 0, 0) if name in static_rules.WHOLE_USER else (pid, 1, 1, 0, 0, 0) for pid in (0, 7)
        )
        assert (verdict(number, own), verdict(number, other)) == ("allow", "notify")
        if name in static_rules.WHOLE_USER:
            assert verdict(number, (static_rules.WHOLE_USER[name], 0, 1, 0, 0, 0)) == "notify"
    limits = static_rules.PROCESSES["prlimit64"]
    assert [verdict(limits, (7, 1, new, 1, 0, 0)) for new in (0, 1 << 40)] == ["allow", "notify"]


def test_the_filter_refuses_keys_leases_and_marks_of_files() -> None:
    ioctl, fcntl = 16, 72
    marks = (0x40086602, 0x401C5820, 0x800C6613, 0x5000940E, 0x5000940F, 0x50009417, 0x4010BC10)
    assert {verdict(ioctl, (3, each, 0, 0, 0, 0)) for each in marks} == {"ENOTTY"}
    plain = (0x5401, 0x5421, 0x40049409, 0x4020940D, 0xC0189436, 0x80086601)  # a terminal's, sockets', clones of files
    assert {verdict(ioctl, (3, each, 0, 0, 0, 0)) for each in plain} == {"allow"}
    assert [verdict(fcntl, (3, each, 0, 0, 0, 0)) for each in (1, 4, 1024, 1030, 1040)] == [
        *("allow", "allow", "EINVAL", "allow", "EINVAL")
    ]
    assert {verdict(number) for number in (248, 249, 250)} == {"ENOSYS"}


@pytest.mark.parametrize(("abi", "expected"), [(5, "EPERM"), (6, "allow")])
def test_no_signal_goes_to_all_where_it_would_leave_the_pod(
    monkeypatch: pytest.MonkeyPatch, abi: int, expected: str
) -> None:
    """Inits of images end what is left by kill(-1)."""
    monkeypatch.setattr(landlock, "version", lambda: abi)
    code = seccomp_filter.program.__wrapped__()
    assert verdict(62, (0xFFFFFFFF, 15, 0, 0, 0, 0), code=code) == expected
    assert {verdict(62, (pid & 0xFFFFFFFF, 15, 0, 0, 0, 0), code=code) for pid in (0, 1, 7, -7)} == {"allow"}


def test_the_filter_knows_datagrams_by_their_numbers() -> None:
    """A stream's sendmsg and recvmsg are never asked about: sockets for datagrams are made at numbers of their own."""
    inside, below, above = notify.WINDOW[0], notify.WINDOW[0] - 1, notify.WINDOW[1]
    for name in ("sendmsg", "sendmmsg", "recvmsg", "recvmmsg"):
        number = notify.DATAGRAMS[name]
        assert [verdict(number, (fd, 1, 0, 0, 0, 0)) for fd in (3, below, inside, above - 1, above)] == [
            *("allow", "allow", "notify", "notify", "allow")
        ]
    assert verdict(notify.DATAGRAMS["recvfrom"], (inside, 1, 1, 0, 0, 0)) == "allow"  # recv
    assert verdict(notify.DATAGRAMS["recvfrom"], (inside, 1, 1, 0, 1 << 40, 0)) == "notify"
    assert verdict(notify.DATAGRAMS["recvfrom"], (3, 1, 1, 0, 1, 0)) == "allow"
    fast_open = 0x20000000
    assert verdict(notify.DATAGRAMS["sendmsg"], (3, 1, fast_open, 0, 0, 0)) == "ENOTSUP"
    assert verdict(notify.DATAGRAMS["sendmmsg"], (3, 1, 1, fast_open, 0, 0)) == "ENOTSUP"


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "expected"),
    [
        (socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0, "allow"),
        (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "allow"),
        (socket.AF_INET, socket.SOCK_STREAM, 262, "notify"),  # MPTCP: refused
        (43, socket.SOCK_STREAM, 0, "notify"),  # SMC: refused
        (socket.AF_INET, socket.SOCK_STREAM, 132, "notify"),  # SCTP: refused
        (socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0, "notify"),
        (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "notify"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, 0, "allow"),
        (16, socket.SOCK_RAW, 0, "allow"),  # netlink: getaddrinfo asks it
        (21, socket.SOCK_SEQPACKET, 0, "EAFNOSUPPORT"),  # RDS, which opens connections by itself
    ],
)
def test_the_filter_asks_about_sockets_that_are_no_streams(
    family: int, kind: int, protocol: int, expected: str
) -> None:
    assert verdict(notify.DATAGRAMS["socket"], (family, kind, protocol, 0, 0, 0)) == expected
