"""The inner process: pid 1 of the node's pid namespace, in its network; answers everybody on the launcher's socket.

It makes nothing happen by itself: every change is an operation somebody asked for or the end of a pod. When it ends the
kernel ends every pod, because their pid namespaces lie inside its own.
"""

from __future__ import annotations

import gc
import os
import socket

from wherry.launcher import protocol, syscalls
from wherry.launcher.connection import Connection
from wherry.launcher.containers import ContainerOperations
from wherry.launcher.context import Context
from wherry.launcher.ending import Ending
from wherry.launcher.inits import Inits
from wherry.launcher.loop import GONE, READ, Loop, reap
from wherry.launcher.node_ops import NodeOperations
from wherry.launcher.options import PROC
from wherry.launcher.protocol import Message
from wherry.launcher.records import Records
from wherry.launcher.requests import Operation, Request, dispatch
from wherry.launcher.sandboxes import SandboxOperations
from wherry.launcher.usage import UsageOperations

CONNECTIONS_MAX = 256  # agent, control plane, netd, builders and doctors; each is one descriptor


class Server:
    """Accepts connections on `listener` and hands requests to the operations."""

    def __init__(self, context: Context, listener: socket.socket, loop: Loop, control: socket.socket) -> None:
        self._listener = listener
        self._loop = loop
        self._control = control
        self._connections: set[Connection] = set()
        self._subscribers: set[Connection] = set()
        records, inits = Records(self.publish), Inits()
        node, sandboxes, containers = _of_tier(context, loop, control, records, inits)
        self._begin = sandboxes.begin
        self._ending = Ending(loop, records)
        self._operations: dict[str, Operation] = {
            "ping": self._ping,
            "events.subscribe": self._subscribe,
            **node.operations(),
            **sandboxes.operations(),
            **containers.operations(),
            **UsageOperations(context, records).operations(),
        }
        self._context = context

    def serve(self) -> None:
        """Until the outer process ends us, or asks us to end and no container is left."""
        self._listener.setblocking(False)
        self._loop.on_child_exit(_reap)
        self._loop.watch(self._listener.fileno(), READ, self._accept)
        self._loop.watch(self._control.fileno(), READ, self._outer)
        self._begin()
        gc.collect()
        gc.freeze()  # forks then share what is there now instead of copying it when the collector touches it
        self._loop.run()

    def publish(self, event: dict[str, object]) -> None:
        """Push an event to everyone who subscribed."""
        for connection in list(self._subscribers):
            connection.send({"event": event})
        self._ending.look()

    def _outer(self, events: int) -> None:
        """The outer process says only that it is time to end."""
        if events & GONE or protocol.receive(self._control) is None:
            os._exit(1)  # it died before PR_SET_PDEATHSIG took effect
        self._ending.begin()

    def _accept(self, _: int) -> None:
        """Whoever may open the socket is our own user: its mode is 0600, and the kernel asks for that at connect."""
        try:
            sock, _ = self._listener.accept()
        except OSError:  # the caller has gone again, or too many files are open: it will try again
            return
        if len(self._connections) >= CONNECTIONS_MAX or self._is_of_a_pod(sock):
            sock.close()
            return
        self._connections.add(Connection(self._loop, sock, self._message, self._gone))

    def _is_of_a_pod(self, sock: socket.socket) -> bool:
        """In the other tiers no pod finds the socket."""
        if self._context.options.tier != PROC:
            return False
        from wherry.launcher.proc.peers import is_of_a_pod

        return is_of_a_pod(sock)

    def _message(self, connection: Connection, message: Message, fds: list[int]) -> None:
        if "op" not in message:
            protocol.close_fds(fds)
            return
        dispatch(self._operations, Request(connection, message, fds))

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._subscribers.discard(connection)

    def _ping(self, request: Request) -> None:
        """What this launcher is and what it cannot enforce, with the reasons."""
        context = self._context
        request.answer(
            {
                "tier": context.options.tier,
                "users": context.maps.reason if context.single_user else "",
                "limits": context.cgroups.reason,
                "escalation": self._no_escalation(),
                "cgroups": context.cgroups.version,
                "not_isolated": context.not_isolated,
            }
        )

    def _no_escalation(self) -> str:
        """Why no program of a container gains privileges by execve(2), "" where those may that are made for it."""
        if self._context.options.tier == PROC:
            return "set-uid programs run as their caller"
        if syscalls.prctl(syscalls.PR_GET_NO_NEW_PRIVS):
            return "set-uid programs run as their caller, as Wherry was started with no_new_privs"
        return ""

    def _subscribe(self, request: Request) -> None:
        self._subscribers.add(request.connection)
        request.answer()


def _of_tier(
    context: Context, loop: Loop, control: socket.socket, records: Records, inits: Inits
) -> tuple[NodeOperations, SandboxOperations, ContainerOperations]:
    """The operations that differ from tier to tier."""
    if context.options.tier != PROC:
        sandboxes = SandboxOperations(context, loop, control, records, inits)
        return NodeOperations(), sandboxes, ContainerOperations(loop, records, inits)
    from wherry.launcher.proc.containers import ProcContainers
    from wherry.launcher.proc.image_files import IMAGES
    from wherry.launcher.proc.node import network
    from wherry.launcher.proc.node_ops import ProcNode
    from wherry.launcher.proc.sandboxes import ProcSandboxes

    block, ports = network(context.options)
    sandboxes = ProcSandboxes(context, loop, control, records, inits, ports, block)
    images = os.path.join(context.options.state, IMAGES)
    return ProcNode(ports, block), sandboxes, ProcContainers(loop, records, inits, images)


def _reap() -> None:
    """Pod inits, jobs and, as pid 1, orphans: whoever cares about one of them watches its descriptor."""
    reap()
