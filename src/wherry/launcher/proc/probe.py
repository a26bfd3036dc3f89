"""What tier `proc` needs, each step really tried on a child of this process. Raises OSError (SyscallError) where it fails."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.launcher import protocol
from wherry.launcher.proc import landlock, notify, seccomp_filter
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.mailbox import Mailbox
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.proc.threads import Threads
from wherry.launcher.syscalls import SyscallError

LOST = (
    "processes of all pods see one another and run as one user; interfaces and terminals are the machine's; "
    "directories of the machine list what it has; accept() names callers by addresses of the loopback network; "
    "limits, that of /dev/shm too, users and network policies are not enforced"
)
"""Whatever the machine allows."""
NO_DESCRIPTORS = (
    "sockets are made for programs, and where one is not at hand its addresses are rewritten in their memory, "
    "which bars none that means ill"
)
NO_LANDLOCK = "pods may write whatever their user may"
NO_SCOPES = "pods may signal and look into one another's processes"
_PATIENCE_MS = 5000


@contextmanager
def _calling() -> Iterator[Caller]:
    """A child that waits in a chdir for its answer."""
    ours, theirs = protocol.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            listener = notify.install(seccomp_filter.program())
            protocol.send(theirs, {}, [listener])
            os.close(listener)
            os.chdir("/")
        except OSError as error:
            protocol.send(theirs, {"errno": error.errno, "call": getattr(error, "syscall", "")})
        finally:
            os._exit(0)
    theirs.close()
    try:
        received = protocol.receive(ours)
        if received is None or not received[1]:
            message = received[0] if received else {}
            raise SyscallError(message.get("errno") or errno.EPERM, message.get("call") or "seccomp", "new listener")
        listener, threads = received[1][0], Threads()
        try:
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            caller = Mailbox().receive(listener, threads) if poll.poll(_PATIENCE_MS) else None
            if caller is None:
                raise SyscallError(errno.ETIMEDOUT, "seccomp", "no notification came")
            yield caller
        finally:
            threads.close()
            os.close(listener)
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def notifications() -> None:
    """seccomp tells us of a call, and we answer it."""
    with _calling() as caller:
        caller.succeed()


def memory() -> None:
    """A child's can be read and written."""
    with _calling() as caller:
        try:
            path = caller.path(caller.arguments[0])
            caller.write(caller.arguments[0], path)
        except GoneError as error:
            raise SyscallError(errno.EPERM, "process_vm_readv", "a child") from error
        if path != b"/":
            raise SyscallError(errno.EIO, "process_vm_readv", f"a child: {path!r}")


def descriptors() -> None:
    """A child's can be duplicated."""
    with _calling() as caller:
        try:
            os.close(caller.take(2))
        except GoneError as error:
            raise SyscallError(errno.EPERM, "pidfd_getfd", "a child") from error


def tracing() -> None:
    """A child can be made to make its call again."""
    with _calling() as caller:
        try:
            if not caller.again(lambda at: ({0: at}, b"/\0")):
                raise SyscallError(ctypes.get_errno(), "ptrace", "a child")
        except GoneError as error:
            raise SyscallError(errno.EPERM, "ptrace", "a child") from error


def not_isolated(*, exact: bool) -> str:
    """What keeps nothing apart on this machine."""
    abi = landlock.version()
    here = [LOST]
    here += [] if exact else [NO_DESCRIPTORS]
    here += [] if abi else [NO_LANDLOCK]
    here += [] if abi >= landlock.SCOPES_SINCE else [NO_SCOPES]
    return "; ".join(here)


def landlocked() -> None:
    """What pods may write can be limited."""
    if not landlock.version():
        raise SyscallError(errno.ENOSYS, "landlock_create_ruleset", "no Landlock")


def scoped() -> None:
    """Whom pods may signal can be limited."""
    if landlock.version() < landlock.SCOPES_SINCE:
        raise SyscallError(errno.ENOSYS, "landlock_create_ruleset", "scopes need Linux 6.12")
