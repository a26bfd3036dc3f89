"""The child that becomes a container, or an exec'ed process beside it: from the fork in its pod's init to execve.

A container's first process waits for what it is to become, maybe since before anybody knew (nursery.py): what is the same for
all is done before. The filter comes last: from then on the shim answers, which hears of the container with the message that says
it is ready.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from wherry.launcher import capabilities, identity, protocol, seccomp, syscalls, terminal
from wherry.launcher.context import Context
from wherry.launcher.hints import explain
from wherry.launcher.loop import after_fork
from wherry.launcher.proc import executables, hidden, notify, promises, rehearsal, seccomp_filter
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.image_files import IMAGES
from wherry.launcher.proc.interpreters import runnable
from wherry.launcher.proc.landlock import Limits
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths, Promise, Wire, pack, unpack
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec
from wherry.launcher.syscalls import SyscallError


def wait(context: Context, status: socket.socket, kit: str) -> NoReturn:
    """Become the container that {"spec", "directory", "kit", "shared_memory", "hostname", "readable", "tcp"} and its standard
    streams say; with a kit before anybody needs it.

    Report to `status`: {"master"} with a terminal, {"ready", "promises"} with the listener, or {"error"}."""

    def prepare() -> None:
        _detach(status, [])
        limits = _limits(hidden.shown(os.fsencode(context.options.state)), tcp=not context.options.exact)
        if kit:
            rehearsal.become_container(context.options.state, kit)
        received = protocol.receive(status)
        if received is None:  # the pod has ended
            return
        orders, stdio = received
        readable = [os.fsencode(each) for each in orders["readable"]]
        if limits.tcp != orders["tcp"]:
            limits = _limits(readable, tcp=orders["tcp"])
        limits.read(readable)  # what has been made since
        spec: ContainerSpec = orders["spec"]
        writable = Writable(orders["directory"])
        images = os.path.join(context.options.state, IMAGES)
        _prepare(
            spec,
            spec["argv"],
            orders["hostname"],
            promises.prepare(spec, writable, images, orders["shared_memory"], orders["kit"]),
            writable,
            limits,
            status,
            stdio,
            tty=spec["tty"],
            waits=True,
            holds=not context.options.exact,
        )

    _run(prepare, status, "RunContainerError", 128)


def become_beside(
    argv: list[str],
    spec: ContainerSpec,
    hostname: str,
    made: Wire,
    writable: Writable,
    readable: list[bytes],
    status: socket.socket,
    stdio: list[int],
    *,
    tty: bool,
    holds: bool,
    tcp: bool,
) -> NoReturn:
    """An exec'ed process of a container that was promised `made`."""

    def prepare() -> None:
        _detach(status, stdio)
        limits = _limits(readable, tcp=tcp)
        _prepare(spec, argv, hostname, unpack(made), writable, limits, status, stdio, tty=tty, waits=False, holds=holds)

    _run(prepare, status, "ExecError", 126)


def upper_of(spec: ContainerSpec, writable: Writable) -> str:
    """The directory of its writable layer over the machine's root; empty when its root is read-only, or its own."""
    return "" if spec["readonly_rootfs"] or not spec["rootfs"]["host"] else os.path.realpath(writable.upper)


def _run(work: Callable[[], None], status: socket.socket, reason: str, code: int) -> NoReturn:
    try:
        work()
    except LauncherError as error:
        _report(status, reason if reason == "ExecError" else error.reason, error.message)
    except SyscallError as error:
        _report(status, reason, explain(error))
    except BaseException as error:  # noqa: BLE001 -- a fork must not run its parent's code; the text reaches the user
        _report(status, reason, f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _report(status: socket.socket, reason: str, message: str) -> None:
    protocol.send(status, {"error": {"reason": reason, "message": message}})


def _detach(status: socket.socket, stdio: list[int]) -> None:
    """From our parent, but for its end."""
    after_fork()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.close_all_but({0, 1, 2, status.fileno(), *stdio})
    os.setsid()
    os.umask(0o022)


def _limits(readable: list[bytes], *, tcp: bool) -> Limits:
    limits = Limits(tcp=tcp)
    limits.read([*readable, *promises.own_python()])
    return limits


def _lay_down_power() -> None:
    """Of root, who has some in an ordinary container: no capability is left or comes back. Becoming another user succeeds without
    doing anything: the shim, which lacks CAP_SYS_PTRACE there, could not look at its memory."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    capabilities.apply(frozenset())
    seccomp.fake_root()


def _prepare(
    spec: ContainerSpec,
    argv: list[str],
    hostname: str,
    made: list[Promise],
    writable: Writable,
    limits: Limits,
    status: socket.socket,
    stdio: list[int],
    *,
    tty: bool,
    waits: bool,
    holds: bool,
) -> None:
    upper = upper_of(spec, writable)
    overlay = Overlay(os.fsencode(upper), b"") if upper else None  # nothing is changed here
    guest = Guest.of_files(Paths(made), overlay)
    users = os.fsdecode(executables.locate(b"/etc/passwd", guest))
    env = identity.environment(spec, hostname, tty=tty, users=users)
    identity.enter_directory(os.fsdecode(executables.locate(os.fsencode(spec["cwd"] or "/"), guest)))
    if tty:
        master, slave = terminal.open_pair()
        protocol.send(status, {"master": True}, [master])
        os.close(master)
        terminal.take(slave, os.geteuid(), os.getegid())
        os.close(slave)
    else:
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
    program = executables.find_program(argv[0], env, guest)
    interpreter, words = executables.words_of_script(program, guest)
    ready = os.fsdecode(runnable(guest, os.fsencode(interpreter or program.real), os.fsencode(program.name)))
    if guest.paths.root is not None:  # nothing of the machine's
        limits = Limits(tcp=limits.tcp, lists=False)
        limits.read([b"/sys"])
        limits.list(b"/dev")
    if waits and protocol.receive(status) is None:
        raise LauncherError("RunContainerError", "the pod's init has gone")
    if os.geteuid() == 0:
        _lay_down_power()
    limits.write([os.fsencode(upper)] if upper else [])
    limits.write(each.source for each in made if not each.readonly)
    limits.read(each.source for each in made if each.readonly)
    limits.enter()
    wire = pack(made)
    listener = notify.install(seccomp_filter.program(streams=holds))
    protocol.send(status, {"ready": True, "promises": wire}, [listener])
    os.close(listener)
    identity.replace(ready, [*words, *argv[1:]] if words else argv, env)
