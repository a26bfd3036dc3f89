"""The outer process and the birth of the node: user, mount, pid and network namespaces, and what must be in them.

The outer process stays in the host's network (pods with `hostNetwork` are forked by it), waits for the inner one, and
ends with it. Both deaths end everything: the inner one is pid 1 of the node's pid namespace and is killed by the kernel
when the outer one goes.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import sys
import traceback
import zlib
from collections.abc import Callable
from dataclasses import replace

from wherry.launcher import cgroups, end_signals, init, machine, protocol, rtnetlink, syscalls, usermap
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.hints import explain
from wherry.launcher.loop import Loop, after_fork, reap
from wherry.launcher.mounts import make_slave, mount
from wherry.launcher.options import NS_USER, PROC, Options
from wherry.launcher.protocol import Message
from wherry.launcher.syscalls import SyscallError

Inner = Callable[[Context, Loop, socket.socket], None]


def listen(path: str) -> socket.socket:
    """The launcher's socket, for our own user only; a stale one is replaced."""
    address = protocol.unix_address(path)
    try:
        os.unlink(address)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    previous = os.umask(0o177)
    try:
        listener.bind(address)
    finally:
        os.umask(previous)
    listener.listen(64)
    return listener


def run(options: Options, inner: Inner) -> int:
    """Build the node, run `inner` in it, wait. The process's exit code. Raises SyscallError before the inner one exists."""
    syscalls.set_process_name("wherry-launcher")
    _raise_open_files()
    options = replace(options, state=os.path.realpath(options.state))
    if options.tier == PROC:
        from wherry.launcher.proc import node as proc

        return proc.run(options, inner)
    maps = usermap.Maps(uid_count=1, gid_count=1)
    if options.tier == NS_USER:
        maps = usermap.enter(usermap.find())
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
    make_slave("/")
    context = _look(options, maps)
    ours, theirs = protocol.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            _become_inner(context, inner, theirs)
            status = 0
        except SyscallError as error:
            print(f"launcher: {explain(error)}", file=sys.stderr, flush=True)
        except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    theirs.close()
    return _wait(pid, ours, context)


def _raise_open_files() -> None:
    """Three descriptors per pod are ours, and containers inherit the limit: container runtimes give them the highest there is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _look(options: Options, maps: usermap.Maps) -> Context:
    """What all forks will know, see context.py."""
    base, view = machine.prepare(options.state, user_namespace=options.tier == NS_USER)
    staging, shared_memory = os.path.join(base, "root"), os.path.join(base, "shm")
    os.mkdir(staging)
    os.mkdir(shared_memory)
    groups = cgroups.Cgroups(reason="switched off")
    if options.cgroups:
        groups = cgroups.find(f"wherry-{zlib.crc32(os.fsencode(options.state)):08x}")
    return Context(options, maps, view, groups, staging, shared_memory)


def _wait(pid: int, control: socket.socket, context: Context) -> int:
    """Until the inner process ends; forks inits of pods in the host's network, which only this process is still in."""
    loop = Loop()
    codes: list[int] = []

    def ended() -> None:
        for child, code in reap():
            if child == pid:
                codes.append(code)
                loop.stop()

    def message(_: Connection, message: Message, fds: list[int]) -> None:
        _fork_host_network(context, message, fds)

    loop.on_child_exit(ended)
    connection = Connection(loop, control, message, lambda _: None)

    def kill(*_: object) -> None:
        os.kill(pid, signal.SIGKILL)

    end_signals.on_request(context.options.grace, lambda: connection.send({"op": "end"}), kill)
    gc.collect()
    gc.freeze()
    loop.run()
    cgroups.remove_all(context.cgroups)
    return codes[0]


def _fork_host_network(context: Context, message: Message, fds: list[int]) -> None:
    """A fork of ours is in the node's pid namespace already; one more makes the pod's, and the inner process inherits it."""
    if os.fork() != 0:
        protocol.close_fds(fds)
        return
    try:
        after_fork()
        syscalls.unshare(syscalls.CLONE_NEWPID)
        if os.fork() == 0:
            sock = socket.socket(fileno=fds[0])
            init.live(context, message["id"], message["spec"], sock, link=0)
    except SyscallError as error:
        print(f"launcher: {explain(error)}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)


def _become_inner(context: Context, inner: Inner, control: socket.socket) -> None:
    after_fork()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.set_process_name("wherry-node")
    os.setsid()
    try:
        mount("proc", "/proc", "proc")
    except SyscallError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        # An outer container runtime hides parts of /proc: then the outer one stays in sight, with its process numbers.
        print(f"launcher: {explain(error)}; going on with the outer /proc", file=sys.stderr, flush=True)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    _set_up_network(context.options)
    inner(context, Loop(), control)


def _set_up_network(options: Options) -> None:
    """Loopback with the node's addresses, and forwarding. All addresses live on lo: the kernel answers ARP for them anywhere."""
    with rtnetlink.Netlink() as netlink:
        netlink.transact(
            [
                rtnetlink.address(rtnetlink.LOOPBACK_INDEX, options.pod_gateway),
                *(rtnetlink.address(rtnetlink.LOOPBACK_INDEX, ip) for ip in options.local_addresses),
                rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX),
            ]
        )
    for name, value in _SYSCTLS.items():
        path = f"/proc/sys/net/{name}"
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError as error:
            raise SyscallError(error.errno or 0, "write", path) from error


_SYSCTLS = {
    "ipv4/ip_forward": "1",
    # Wherry's own servers bind port 53 and 443 of service addresses.
    "ipv4/ip_unprivileged_port_start": "0",
}
