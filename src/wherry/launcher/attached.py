"""A process started by exec: a fork of the pod's init joins the container's mount namespace and becomes the program."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from wherry.launcher import identity, protocol, syscalls, terminal
from wherry.launcher.context import Context
from wherry.launcher.hints import explain
from wherry.launcher.loop import after_fork
from wherry.launcher.protocol import LauncherError
from wherry.launcher.specs import ContainerSpec
from wherry.launcher.syscalls import SyscallError


def become(
    argv: list[str],
    spec: ContainerSpec,
    hostname: str,
    context: Context,
    status: socket.socket,
    stdio: list[int],
    pidfd: int,
    *,
    tty: bool,
) -> NoReturn:
    """`pidfd` is the container's own process. Reports as `container.become` does. Never returns."""
    try:
        _prepare(argv, spec, hostname, context, status, stdio, pidfd, tty=tty)
    except LauncherError as error:
        _report(status, error.message)
    except SyscallError as error:
        _report(status, explain(error))
    except BaseException as error:  # noqa: BLE001 -- a fork must not run its parent's code; the text reaches the user
        _report(status, f"{type(error).__name__}: {error}")
    finally:
        os._exit(126)


def _report(status: socket.socket, message: str) -> None:
    protocol.send(status, {"error": {"reason": "ExecError", "message": message}})


def _prepare(
    argv: list[str],
    spec: ContainerSpec,
    hostname: str,
    context: Context,
    status: socket.socket,
    stdio: list[int],
    pidfd: int,
    *,
    tty: bool,
) -> None:
    after_fork()
    syscalls.close_all_but({0, 1, 2, status.fileno(), pidfd, *stdio})
    os.setsid()
    os.umask(0o022)
    own = identity.own_user_namespace(spec, context)
    syscalls.setns(pidfd, syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWUSER if own else 0))
    os.close(pidfd)
    env = identity.environment(spec, hostname, tty=tty)
    identity.enter_directory(spec["cwd"] or "/")
    if tty:
        master, slave = terminal.open_pair()
        protocol.send(status, {"master": True}, [master])
        os.close(master)
        terminal.take(slave, spec["uid"], spec["gid"])
        os.close(slave)
    else:
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
    identity.assume(spec, context)
    protocol.send(status, {"ready": True})
    identity.execute(argv, env)
