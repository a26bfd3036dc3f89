"""A thread at the end of a system call: stopped by ptrace(2) on its way out, looked at, and let go.

It is traced from `interrupt` until what `once_stopped` was given is done; its number is its own for as long. Registers are
x86_64's, in the order of struct user_regs_struct.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import suppress

from wherry.launcher.proc.outcomes import GoneError

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long

_GETREGS, _SETREGS, _DETACH, _SEIZE, _INTERRUPT = 12, 13, 17, 0x4206, 0x4207
_REGISTERS = struct.Struct("=27Q")
RESULT, _ORIGINAL_CALL, _INSTRUCTION, STACK = 10, 15, 16, 19  # rax, orig_rax, rip, rsp
ARGUMENTS = (14, 13, 12, 7, 9, 8)  # rdi rsi rdx r10 r8 r9
_NO_CALL = (1 << 64) - 1
_SYSCALL_BYTES = 2  # of the instruction, which is made again
_WALL = 0x40000000  # wait for what is no child of ours but traced
_PATIENT_LOOKS = 50  # some 20 us: it runs on another core
STOP_LOOKS = 2_000
"""Some 2 ms, or as long as others who want this core take for as many turns: whoever is told to stop is at its call's end
already, and needs a core to get there. Nobody else is answered meanwhile."""
Act = Callable[[list[int]], None]
late: dict[int, Act] = {}
"""What is done to those who had not stopped by then: `settle_late` is called until there are none."""
LATE_LOOK_MILLISECONDS = 5


def interrupt(thread: int) -> bool:
    """It stops when its call has been answered, which `once_stopped` is to wait for; False where it may not be traced."""
    settle_late()
    if _ptrace(_SEIZE, thread, 0, 0) < 0:
        return False
    _ptrace(_INTERRUPT, thread, 0, 0)
    return True


def once_stopped(thread: int, act: Act) -> None:
    """Its registers are given to `act`, and it goes on: now, or when it has stopped. Raises GoneError when it has ended, and,
    unless that is later, what `act` raises."""
    for look in range(STOP_LOOKS):
        if _has_stopped(thread):
            _act(thread, act)
            return
        if look > _PATIENT_LOOKS:
            os.sched_yield()
    late[thread] = act


def settle_late() -> None:
    """Those of `late` that stand by now."""
    for thread in list(late):
        try:
            if _has_stopped(thread):
                with suppress(OSError):  # it is told that its call was interrupted
                    _act(thread, late.pop(thread))
        except GoneError:
            late.pop(thread, None)


def _has_stopped(thread: int) -> bool:
    try:
        return os.waitpid(thread, _WALL | os.WNOHANG)[0] != 0
    except ChildProcessError as error:
        raise GoneError from error


def _act(thread: int, act: Act) -> None:
    found = ctypes.create_string_buffer(_REGISTERS.size)
    try:
        if _ptrace(_GETREGS, thread, 0, ctypes.addressof(found)) < 0:
            raise GoneError
        act(list(_REGISTERS.unpack(found)))
    finally:
        _ptrace(_DETACH, thread, 0, 0)


def call_again(thread: int, values: list[int], number: int) -> None:
    """When it is let go it makes the call `number`, with these registers."""
    values = [*values]
    values[RESULT], values[_ORIGINAL_CALL] = number, _NO_CALL
    values[_INSTRUCTION] -= _SYSCALL_BYTES
    raw = ctypes.create_string_buffer(_REGISTERS.pack(*values), _REGISTERS.size)
    _ptrace(_SETREGS, thread, 0, ctypes.addressof(raw))
