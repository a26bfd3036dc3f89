"""Classic BPF as seccomp(2) has it: steps, a search for the call's number, and what a program says to a call. Pure.

A step is one struct sock_filter: operation, how many steps to pass over if it holds, if it does not, and a constant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

Step = tuple[int, int, int, int]

LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, _END = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, NOTIFY, ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000  # SECCOMP_RET_…; an errno is added
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_STEP = struct.Struct("=HBBI")
_DATA = struct.Struct("=IIQ6Q")  # number, architecture, instruction, arguments
_FAR = 255


def load(argument: int, *, upper: bool = False) -> Step:
    """Half of an argument of the call, the lower one or the upper."""
    return (LOAD, 0, 0, 16 + 8 * argument + 4 * upper)


def end(verdict: int) -> Step:
    return (_END, 0, 0, verdict)


def match(values: Sequence[int], verdict: int) -> list[Step]:
    """If one of these is loaded, that is the answer."""
    last = len(values) - 1
    return [*((EQUAL, last - at, int(at == last), each) for at, each in enumerate(values)), end(verdict)]


def search(
    rules: Mapping[int, Sequence[Step]], otherwise: Sequence[Step], above: tuple[int, Sequence[Step]]
) -> list[Step]:
    """With a call's number loaded: the steps of its rule, each of which ends; `above` is for all from that number on.

    By halves, not one number after the other: the kernel tries every number when a filter is installed, and some calls later."""
    cases: list[tuple[int, Sequence[Step]]] = []
    for number in sorted({0, *rules, *(each + 1 for each in rules)}):
        steps = rules.get(number, otherwise)
        if not cases or cases[-1][1] != steps:
            cases.append((number, steps))
    return _halved([*cases, above])


def _halved(cases: Sequence[tuple[int, Sequence[Step]]]) -> list[Step]:
    """`cases` hold from their number up to the next one's."""
    if len(cases) == 1:
        return list(cases[0][1])
    middle = len(cases) // 2
    low, high = _halved(cases[:middle]), _halved(cases[middle:])
    assert len(low) <= _FAR, "a step cannot pass over so many"
    return [(AT_LEAST, len(low), 0, cases[middle][0]), *low, *high]


def assemble(steps: Iterable[Step]) -> bytes:
    """An array of struct sock_filter."""
    return b"".join(_STEP.pack(*step) for step in steps)


def answer(code: bytes, number: int, architecture: int, arguments: Sequence[int]) -> int:
    """What a program of `assemble` says to a call of six arguments."""
    data = _DATA.pack(number, architecture, 0, *arguments)
    accumulator = at = 0
    while True:
        operation, yes, no, k = _STEP.unpack_from(code, _STEP.size * at)
        at += 1
        if operation == _END:
            return int(k)
        if operation == LOAD:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == AND:
            accumulator &= k
        else:
            holds = accumulator == k, accumulator >= k, bool(accumulator & k)
            at += yes if holds[(EQUAL, AT_LEAST, ANY_BIT).index(operation)] else no
