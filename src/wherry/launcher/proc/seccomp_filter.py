"""The filter of tier `proc`: which system calls of a container somebody else answers (seccomp_unotify(2)).

It lets everything through at once but what names an address or a path, or needs no more than owning a file (owner_calls.py), and
refuses by itself what nobody needs (static_rules.py). What every call of its number is let through for, the kernel knows from
then on without the filter.
"""

from __future__ import annotations

import errno
import socket
from functools import cache

from wherry.launcher.proc import bpf, landlock, static_rules
from wherry.launcher.proc.bpf import ALLOW, AND, ANY_BIT, AT_LEAST, EQUAL, ERRNO, NOTIFY, Step, end, load, match
from wherry.launcher.proc.notify import (
    AF_SMC,
    ARCHITECTURE,
    DATAGRAMS,
    FILES,
    IO_URING_SETUP,
    NETWORK,
    USERFAULTFD,
    WINDOW,
)  # fmt: skip

_X32_BIT = 0x40000000
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH: fstat by another name, which needs no path and must stay fast
_FLAGS_ARGUMENT = {"newfstatat": 3, "statx": 2}
_SOCK_TYPE_MASK = 0xF
_STREAMS = (0, 6)  # IPPROTO_IP, IPPROTO_TCP
_MSG_FASTOPEN = 0x20000000


@cache
def program(*, streams: bool = False) -> bytes:
    """An array of struct sock_filter. x32's calls do not exist, see refused_calls.py for others. With `streams` they are made by
    who answers too, see held.py."""
    rules = {number: [end(NOTIFY)] for number in (*NETWORK.values(), *FILES.values(), IO_URING_SETUP)}
    rules |= static_rules.rules()
    if landlock.version() < landlock.SCOPES_SINCE:  # else a signal to all goes to the pod's own
        rules |= static_rules.to_all()
    # A page that is filled by its owner would stop who reads it for ever.
    rules[USERFAULTFD] = [end(ERRNO | errno.EPERM)]
    rules[NETWORK["sendto"]] = [*_unless_null(4, [end(NOTIFY)]), end(ALLOW)]
    for name, argument in _FLAGS_ARGUMENT.items():
        rules[FILES[name]] = [load(argument), (ANY_BIT, 1, 0, _EMPTY_PATH), end(NOTIFY), end(ALLOW)]
    rules |= _for_datagrams(streams=streams)
    calls = bpf.search(rules, [end(ALLOW)], (_X32_BIT, [end(ERRNO | errno.ENOSYS)]))
    foreign = [(bpf.LOAD, 0, 0, bpf.ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURE), end(NOTIFY)]
    return bpf.assemble([*foreign, (bpf.LOAD, 0, 0, bpf.NUMBER), *calls])


def asks(code: bytes, number: int, arguments: list[int]) -> bool:
    """Whether `program` lets somebody else answer this call."""
    return bpf.answer(code, number, ARCHITECTURE, arguments) == NOTIFY


def _for_datagrams(*, streams: bool) -> dict[int, list[Step]]:
    """Sockets that are no streams are made by who answers, at a number of the `WINDOW`; there, messages are looked at."""
    within = [load(0), (AT_LEAST, 2, 0, WINDOW[1]), (AT_LEAST, 0, 1, WINDOW[0]), end(NOTIFY), end(ALLOW)]
    found = {DATAGRAMS["socket"]: [*static_rules.families(), *_socket(streams=streams)]}
    for name, argument in (("sendmsg", 2), ("sendmmsg", 3)):
        open_fast = [load(argument), (ANY_BIT, 0, 1, _MSG_FASTOPEN), end(ERRNO | errno.EOPNOTSUPP)]
        found[DATAGRAMS[name]] = [*open_fast, *within]
    for name in ("recvmsg", "recvmmsg"):
        found[DATAGRAMS[name]] = within
    found[DATAGRAMS["recvfrom"]] = [*_unless_null(4, within), end(ALLOW)]
    return found


def _socket(*, streams: bool) -> list[Step]:
    """Its first argument is loaded: a family that static_rules.py does not refuse."""
    protocols: list[Step] = [(EQUAL, len(_STREAMS) - at, 0, each) for at, each in enumerate(_STREAMS)]
    return [
        (EQUAL, 4, 0, socket.AF_INET),
        (EQUAL, 3, 0, socket.AF_INET6),
        *match((AF_SMC,), NOTIFY),
        end(ALLOW),
        load(1),
        (AND, 0, 0, _SOCK_TYPE_MASK),
        (EQUAL, 1, 0, socket.SOCK_STREAM),
        end(NOTIFY),
        load(2),
        *protocols,
        end(NOTIFY),
        end(NOTIFY if streams else ALLOW),
    ]


def _unless_null(argument: int, steps: list[Step]) -> list[Step]:
    """`steps`, unless an argument of 64 bits is zero: then what follows them."""
    return [load(argument), (EQUAL, 0, 2, 0), load(argument, upper=True), (EQUAL, len(steps), 0, 0), *steps]
