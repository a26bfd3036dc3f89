"""Inits of pods made ahead of time, since forks and the memory that they copy were most of a pod's start.

A process of its own forks them, a fork of the server: whoever forks copies every page that it writes afterwards, and the server
writes to many for each pod. One init waits, with a process that becomes its first container (pod.py); the next one is made when
nothing has happened for a while. Who needs one while none is there has it made at once.

    server -> nursery   {"now": bool}     one more init: at once, or when it is quiet
    nursery -> server   {"now"}           with the connection to it; it says `ready` or `failed` there
                        {"now", "error"}  it could not be forked
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from wherry.launcher import protocol, syscalls
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.loop import Loop, after_fork
from wherry.launcher.proc import kits, pod, seccomp_filter
from wherry.launcher.protocol import Message

QUIET_MILLISECONDS = 100
"""Without a request, until one init is made ahead: most programs have started then, and many pods at once are not slowed."""


Adopt = Callable[["Spare"], None]
Refuse = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Spare:
    """An init that waits, see pod.py; `fds` are what one gives who is ready."""

    connection: Connection
    kit: str
    fds: list[int]


class Nursery:
    """The server's side. Nothing until `begin`."""

    def __init__(self, loop: Loop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._process: Connection | None = None
        self._spares: deque[Spare] = deque()
        self._waiting: deque[tuple[Message, Adopt, Refuse]] = deque()

    def begin(self) -> None:
        """Fork the process. Raises OSError."""
        ours, theirs = protocol.socketpair()
        if os.fork() == 0:
            _live(self._context, theirs)
        theirs.close()
        self._process = Connection(self._loop, ours, self._made, lambda _: self._gone())

    def take(self, whose: Message, adopt: Adopt, refuse: Refuse) -> None:
        """An init is told `whose` it is, {"id", "spec"}, and `adopt` gets it, at once if one waits; or `refuse` why there is
        none. Raises OSError."""
        while self._spares:
            spare = self._spares[0]
            spare.connection.send(whose)
            if not spare.connection.closed:  # else it has just been killed, and `_ended` removed it
                self._spares.popleft()
                adopt(spare)
                self._ask(now=False)
                return
        self._ask(now=True)
        self._waiting.append((whose, adopt, refuse))

    def _ask(self, *, now: bool) -> None:
        if self._process is not None:
            self._process.send({"now": now})
        if self._process is None:  # it was killed
            self.begin()
            self._ask(now=now)

    def _gone(self) -> None:
        """It was killed. The next one to need it forks it again."""
        self._process = None
        while self._waiting:
            self._refuse("the process that forks inits was killed")

    def _made(self, _: Connection, message: Message, fds: list[int]) -> None:
        if fds:
            failed = self._refuse if message["now"] else _ignore
            Connection(
                self._loop,
                socket.socket(fileno=fds[0]),
                lambda *report: self._reported(failed, *report),
                lambda _: failed("the pod's init ended before it was ready"),
            )
        elif message["now"]:
            self._refuse(message["error"])

    def _reported(self, failed: Refuse, connection: Connection, message: Message, fds: list[int]) -> None:
        connection.hand_over(lambda *_: None, self._ended)
        if message["event"] == "failed":
            failed(message["message"])
            return
        spare = Spare(connection, message["kit"], fds)
        if self._waiting:
            whose, adopt, _ = self._waiting.popleft()
            connection.send(whose)
            adopt(spare)
        else:
            self._spares.append(spare)

    def _refuse(self, text: str) -> None:
        if self._waiting:  # who waited for this one may have got another
            self._waiting.popleft()[-1](text)

    def _ended(self, connection: Connection) -> None:
        """One that nobody has taken."""
        for spare in [each for each in self._spares if each.connection is connection]:
            self._spares.remove(spare)
            protocol.close_fds(spare.fds)
            kits.discard(spare.kit)


def _ignore(_: str) -> None:
    """Nobody waits for one that was made ahead; who comes next has another one made."""


def _live(context: Context, control: socket.socket) -> NoReturn:
    """Be the process until the server is gone."""
    status = 1
    try:
        after_fork()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # inits are the server's to watch
        syscalls.set_process_name("wherry-nursery")
        syscalls.close_all_but({0, 1, 2, control.fileno()})
        seccomp_filter.program(streams=not context.options.exact)  # made once for all
        gc.collect()
        gc.freeze()
        _serve(context, control)
        status = 0
    except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _serve(context: Context, control: socket.socket) -> None:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    ahead = True
    while True:
        now = not poll.poll(QUIET_MILLISECONDS if ahead else None)
        ahead = not now
        if ahead:
            received = protocol.receive(control)
            if received is None:
                return
            now = received[0]["now"]
        if now:
            _fork(context, control, ahead=not ahead)


def _fork(context: Context, control: socket.socket, *, ahead: bool) -> None:
    try:
        ours, theirs = protocol.socketpair()
        if os.fork() == 0:
            pod.wait(context, theirs, ahead=ahead)
    except OSError as error:
        protocol.send(control, {"now": not ahead, "error": f"fork: {error.strerror}"})
        return
    theirs.close()
    protocol.send(control, {"now": not ahead}, [ours.fileno()])
    ours.close()
