"""The child that becomes a container, or an exec'ed process beside it: from the fork in its pod's init to execve.

The filter comes last: from then on the shim answers, which hears of the container with the message that says it is ready.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from wherry.launcher import identity, protocol, syscalls, terminal
from wherry.launcher.hints import explain
from wherry.launcher.loop import after_fork
from wherry.launcher.proc import landlock, notify, promises
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths, Promise
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec
from wherry.launcher.syscalls import SyscallError

Wire = list[tuple[str, str, bool]]
"""Promises as JSON has them."""


def become(
    spec: ContainerSpec,
    hostname: str,
    writable: Writable,
    shared: str,
    readable: list[bytes],
    status: socket.socket,
    stdio: list[int],
    *,
    holds: bool,
    tcp: bool,
) -> NoReturn:
    """Report to `status`: {"master"} with a terminal, {"ready", "promises"} with the listener, or {"error"}."""

    def prepare() -> None:
        made = promises.prepare(spec, writable, shared)
        _prepare(
            spec,
            spec["argv"],
            hostname,
            made,
            writable,
            readable,
            status,
            stdio,
            tty=spec["tty"],
            waits=True,
            holds=holds,
            tcp=tcp,
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
    _run(
        lambda: _prepare(
            spec,
            argv,
            hostname,
            unpack(made),
            writable,
            readable,
            status,
            stdio,
            tty=tty,
            waits=False,
            holds=holds,
            tcp=tcp,
        ),
        status,
        "ExecError",
        126,
    )


def upper_of(spec: ContainerSpec, writable: Writable) -> str:
    """The directory of its writable layer; empty when its root is read-only."""
    return "" if spec["readonly_rootfs"] else os.path.realpath(writable.upper)


def unpack(made: Wire) -> list[Promise]:
    return [Promise(os.fsencode(target), os.fsencode(source), readonly) for target, source, readonly in made]


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


def _prepare(
    spec: ContainerSpec,
    argv: list[str],
    hostname: str,
    made: list[Promise],
    writable: Writable,
    readable: list[bytes],
    status: socket.socket,
    stdio: list[int],
    *,
    tty: bool,
    waits: bool,
    holds: bool,
    tcp: bool,
) -> None:
    after_fork()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.close_all_but({0, 1, 2, status.fileno(), *stdio})
    os.setsid()
    os.umask(0o022)
    paths = Paths(made)
    upper = upper_of(spec, writable)
    overlay = Overlay(os.fsencode(upper), b"") if upper else None  # nothing is changed here
    env = identity.environment(spec, hostname, tty=tty)
    identity.enter_directory(os.fsdecode(promises.locate(os.fsencode(spec["cwd"] or "/"), paths, overlay)))
    if tty:
        master, slave = terminal.open_pair()
        protocol.send(status, {"master": True}, [master])
        os.close(master)
        terminal.take(slave, os.geteuid(), os.getegid())
        os.close(slave)
    else:
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
    program = promises.find_program(argv[0], env, paths, overlay)
    words = promises.interpreter(program, paths, overlay)
    if waits and protocol.receive(status) is None:
        raise LauncherError("RunContainerError", "the pod's init has gone")
    own = [os.fsencode(upper)] if upper else []
    given = [each.source for each in made if each.readonly]
    landlock.limit(
        [*own, *(each.source for each in made if not each.readonly)],
        [*readable, *promises.interpreters(), *given],
        tcp=tcp,
    )
    wire = [(os.fsdecode(each.target), os.fsdecode(each.source), each.readonly) for each in made]
    listener = notify.install(streams=holds)
    protocol.send(status, {"ready": True, "promises": wire}, [listener])
    os.close(listener)
    if words:
        identity.replace(words[0], [*words, program, *argv[1:]], env)
    else:
        identity.replace(program, argv, env)
