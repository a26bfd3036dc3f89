"""The outer process and the birth of the node: user, mount, pid and network namespaces, and what must be in them.

The outer process stays in the host's network (pods with `hostNetwork` are forked by it), waits for the inner one, and
ends with it. Both deaths end everything: the inner one is pid 1 of the node's pid namespace and is killed by the kernel
when the outer one goes.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from wherry.launcher import protocol, rtnetlink, syscalls, usermap
from wherry.launcher.hints import explain
from wherry.launcher.loop import GONE, READ, Loop, after_fork, exit_code
from wherry.launcher.mounts import make_slave, mount
from wherry.launcher.options import NS_USER, Options
from wherry.launcher.syscalls import SyscallError

Inner = Callable[[Loop, socket.socket, usermap.Maps], None]


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
    maps = usermap.Maps(uid_count=1, gid_count=1)
    if options.tier == NS_USER:
        maps = usermap.enter(usermap.find())
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
    ours, theirs = protocol.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            _become_inner(options, inner, theirs, maps)
            status = 0
        except SyscallError as error:
            print(f"launcher: {explain(error)}", file=sys.stderr, flush=True)
        except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
            traceback.print_exc()
        finally:
            os._exit(status)
    theirs.close()
    return _wait(pid, ours)


def _wait(pid: int, control: socket.socket) -> int:
    def end(*_: object) -> None:
        os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with control:
        _, status = os.waitpid(pid, 0)
    return exit_code(status)


def _become_inner(options: Options, inner: Inner, control: socket.socket, maps: usermap.Maps) -> None:
    after_fork()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.set_process_name("wherry-node")
    os.setsid()
    make_slave("/")
    mount("proc", "/proc", "proc")
    syscalls.unshare(syscalls.CLONE_NEWNET)
    _set_up_network(options)
    loop = Loop()

    def outer_gone(events: int) -> None:
        if events & GONE:  # it died before PR_SET_PDEATHSIG took effect
            os._exit(1)

    loop.watch(control.fileno(), READ, outer_gone)
    inner(loop, control, maps)


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
