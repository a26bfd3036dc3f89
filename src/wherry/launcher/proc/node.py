"""The outer process and the birth of the node in tier `proc`: shims, and the server inside them.

The outer process waits. It ends with the server, and whatever ends kills everything below it first.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace

from wherry.launcher import end_signals, protocol, syscalls, usermap
from wherry.launcher.cgroups import Cgroups
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.host_view import HostView
from wherry.launcher.loop import Loop, after_fork, reap
from wherry.launcher.options import Options
from wherry.launcher.proc import probe, remains, shared_memory, shim
from wherry.launcher.proc.addresses import Block
from wherry.launcher.proc.image_files import IMAGES
from wherry.launcher.proc.kits import KITS
from wherry.launcher.proc.mailbox import Mailbox
from wherry.launcher.proc.ports import Ports, directory
from wherry.launcher.proc.shim import ShimOptions

Inner = Callable[[Context, Loop, socket.socket], None]

USERS = "every process runs as the user who started Wherry"
LIMITS = "tier proc has no cgroups"


def run(options: Options, inner: Inner) -> int:
    """Start shims and `inner` in them, wait. The process's exit code."""
    block, ports = network(options)
    ports.clear()
    for path in (IMAGES, KITS):
        shutil.rmtree(os.path.join(options.state, path), ignore_errors=True)
    options = replace(options, exact=options.exact and _may_take_descriptors())
    context = Context(
        options,
        usermap.Maps(reason=USERS),
        HostView(skeleton="", image_skeleton="", parts=(), binds=()),
        Cgroups(reason=LIMITS),
        staging="",
        shared_memory=shared_memory.begin(options.state),
        not_isolated=probe.not_isolated(exact=options.exact),
    )
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    pairs = [protocol.socketpair() for _ in range(shim.DEPTH)]
    ours, theirs = protocol.socketpair()
    state = os.fsencode(os.path.realpath(options.state))
    shim_options = ShimOptions(state, block, ports, options.exact, context.shared_memory)
    inside = shim.stand([theirs_ for _, theirs_ in pairs], Mailbox(), shim_options)
    if inside:
        _be_server(context, inner, theirs, [mine for mine, _ in pairs], {sock for _, sock in pairs} | {ours})
    theirs.close()
    for pair in pairs:
        for sock in pair:
            sock.close()
    try:
        return _wait(ours, context)
    finally:
        shared_memory.remove_all(context.shared_memory)


def _may_take_descriptors() -> bool:
    """Docker's default profile and Yama may forbid it."""
    try:
        probe.descriptors()
    except OSError:
        return False
    return True


def network(options: Options) -> tuple[Block, Ports]:
    """Where a system's addresses really are, and the table of its ports."""
    return Block.of(options.state, options.pod_gateway), Ports(directory(options.state))


def _be_server(
    context: Context, inner: Inner, control: socket.socket, controls: list[socket.socket], foreign: set[socket.socket]
) -> None:
    status = 1
    try:
        after_fork()
        for sock in foreign:
            sock.close()
        syscalls.set_process_name("wherry-node")
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        os.setsid()
        context.controls.extend(controls)
        inner(context, Loop(), control)
        status = 0
    except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
        traceback.print_exc()
    finally:
        remains.end_children(lambda _: True)
        sys.stderr.flush()
        os._exit(status)


def _wait(control: socket.socket, context: Context) -> int:
    """Until the server is gone."""
    loop = Loop()
    connection = Connection(loop, control, lambda *_: None, lambda _: loop.stop())

    def kill(*_: object) -> None:
        loop.stop()
        os.kill(os.getpid(), signal.SIGCHLD)  # wakes the loop

    loop.on_child_exit(_reap)
    asked = end_signals.on_request(context.options.grace, lambda: connection.send({"op": "end"}), kill)
    gc.collect()
    gc.freeze()
    loop.run()
    remains.end_children(lambda _: True)
    return 0 if asked else 1


def _reap() -> None:
    """Who it was does not matter: the server's end is seen at its connection."""
    reap()
