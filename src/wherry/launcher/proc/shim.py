"""The shim: answers the notifications of every container of the node, one after the other, never waiting for any.

Several shims stand inside one another, so that each is an ancestor of every pod: that is what Yama wants of who looks into
processes. The innermost answers; when it is killed the server tells the next one to, and hands it everything again. What had been
taken from a queue and not been answered then lies in memory that they share (`Mailbox`).

    server -> shim   {"op": "guest", "sandbox", "container", "ip", "hostname", "promises", "upper",
                      "again"}  with a listener
                     {"op": "services", "replace": bool, "range", "services"}          see routing.Services
                     {"op": "detours", "detours"}                                      see detours.Detours
    shim -> server   {"event": "notice", "sandbox", "container", "text"}          what a container asked for and did not get
"""

from __future__ import annotations

import errno
import gc
import os
import random
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from select import POLLIN

from wherry.launcher import protocol, syscalls
from wherry.launcher.proc import notify, remains, shared_memory
from wherry.launcher.proc.addresses import Block
from wherry.launcher.proc.alarm import ALARM
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.file_calls import FileCalls
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import Held
from wherry.launcher.proc.mailbox import Mailbox
from wherry.launcher.proc.network_calls import NetworkCalls
from wherry.launcher.proc.outcomes import GoneError, Refusal
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths, unpack
from wherry.launcher.proc.ports import Ports
from wherry.launcher.proc.process_calls import ProcessCalls
from wherry.launcher.proc.reach import LeadsElsewhereError
from wherry.launcher.proc.refused_calls import RefusedCalls
from wherry.launcher.proc.routing import Routing
from wherry.launcher.proc.threads import Threads
from wherry.launcher.proc.tracing import LATE_LOOK_MILLISECONDS, late, settle_late
from wherry.launcher.proc.waiting import Waiting

CONNECT = notify.NETWORK["connect"]
DEPTH = 3
"""How many there are: as many deaths are survived, less one."""
NOTICES_MAX = 16  # per container: a program that asks again and again says nothing new


@dataclass(frozen=True, slots=True)
class ShimOptions:
    """`state`: the real path of Wherry's directory; `exact`: duplicates of callers' sockets may be taken; `shared_memory`: what
    no pod needs any more at the end."""

    state: bytes
    block: Block
    ports: Ports
    exact: bool
    shared_memory: str


def stand(controls: list[socket.socket], mailbox: Mailbox, options: ShimOptions) -> bool:
    """Fork a shim for each control connection, each inside the one before. The shims never return.

    False in the caller, True in the one process that lies inside all of them.
    """
    parent: socket.socket | None = None
    for control in [*controls, None]:
        if os.fork() != 0:
            if parent is None:
                return False
            _live(parent, controls, mailbox, options)
        parent = control
    return True


def _live(control: socket.socket, others: list[socket.socket], mailbox: Mailbox, options: ShimOptions) -> None:
    """Be a shim until the server is gone. Never returns."""
    status = 1
    try:
        for other in others:
            if other is not control:
                other.close()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the outer process says when, through the server
        ALARM.install()
        syscalls.set_process_name("wherry-shim")
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.close_all_but({2, control.fileno()})
        Shim(control, mailbox, options).run()
        status = 0
    except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
        traceback.print_exc()
    finally:
        remains.end_children(lambda _: True)
        shared_memory.remove_all(options.shared_memory)
        sys.stderr.flush()
        os._exit(status)


class Shim:
    """`run` until the control connection ends."""

    def __init__(self, control: socket.socket, mailbox: Mailbox, options: ShimOptions) -> None:
        self._control = control
        self._mailbox = mailbox
        held = None if options.exact else Held()
        self._held = held
        self._threads = held or Threads()
        self._state = options.state
        self._guests: dict[int, Guest] = {}
        self._notices: dict[str, set[str]] = {}
        """What was said of containers that live, by their ids."""
        self._left: bytes | None = None
        self._waiting = Waiting()
        self._routing = Routing(options.block, options.ports, random.Random())
        files = FileCalls(self._notice)
        network = NetworkCalls(self._routing, options.state, held)
        self._handlers = {**network.handlers, **files.handlers, **RefusedCalls(self._notice).handlers}
        self._handlers |= ProcessCalls().handlers

    def run(self) -> None:
        """Idle until told to begin; then everybody is answered."""
        self._waiting.add(self._control.fileno())
        gc.collect()
        gc.freeze()  # what is there now is shared with the other shims, and looked through by no collection
        control, guests = self._control.fileno(), self._guests
        wait, receive, threads = self._waiting.wait, self._mailbox.receive, self._threads
        while True:
            if late:
                settle_late()
            for fd, events in wait(LATE_LOOK_MILLISECONDS if late else None):
                if fd == control:
                    if not self._told():
                        return
                elif events & POLLIN:
                    guest = guests.get(fd)
                    caller = receive(fd, threads) if guest is not None else None
                    if caller is not None and guest is not None:
                        self._serve(caller, guest)
                else:  # nobody is left who could call
                    self._leave(fd)

    def _serve(self, caller: Caller, guest: Guest) -> None:
        try:
            if ALARM.rings and caller.number != CONNECT:
                ALARM.silence()
            handler = self._handlers.get(caller.number)
            if handler is None:
                caller.proceed()
            else:
                handler(caller, guest)
        except GoneError:
            return
        except Refusal as refusal:
            caller.fail(refusal.number)
        except LeadsElsewhereError:  # to the machine's files, of a call that cannot be made again
            caller.fail(errno.EACCES)
        except OSError as error:
            caller.fail(error.errno or errno.EIO)
        except OverflowError:  # a number that no such call takes
            caller.fail(errno.EINVAL)
        except Exception:  # noqa: BLE001 -- our bug must not end the node's network; the program sees an error
            traceback.print_exc()
            caller.fail(errno.ENOSYS)

    def _told(self) -> bool:
        """One message of the server's; False at the end."""
        try:
            received = protocol.receive(self._control)
        except OSError:
            received = None
        if received is None:
            return False
        message, fds = received
        if message["op"] == "guest":
            self._enter(message, fds.pop())
        elif message["op"] == "services":
            self._routing.set_services(message)
        elif message["op"] == "detours":
            self._routing.set_detours(message["detours"])
        protocol.close_fds(fds)
        return True

    def _enter(self, message: protocol.Message, listener: int) -> None:
        paths = Paths(unpack(message["promises"]))
        overlay = self._overlay(os.fsencode(message["upper"])) if message["upper"] else None
        guest = Guest(
            listener, message["sandbox"], message["container"], message["ip"], message["hostname"], paths, overlay
        )
        self._guests[listener] = guest
        notify.answer_here(listener)
        if message["again"]:
            # What our predecessor had taken and not answered: looked at before anything else is taken.
            self._left = self._left or self._mailbox.content()
            caller = Caller(listener, self._left, self._threads)
            if caller.waits():
                self._serve(caller, guest)
        self._waiting.add(listener)

    def _overlay(self, upper: bytes) -> Overlay:
        """Exec'ed processes have their container's: it knows what was written through it."""
        known = (guest.overlay for guest in self._guests.values() if guest.overlay is not None)
        return next((each for each in known if each.upper == upper), None) or Overlay(upper, self._state)

    def _leave(self, listener: int) -> None:
        self._waiting.remove(listener)
        gone = self._guests.pop(listener, None)
        if self._held is not None:
            self._held.leave(listener)
        os.close(listener)
        if gone is not None and not any(each.container == gone.container for each in self._guests.values()):
            self._notices.pop(gone.container, None)

    def _notice(self, guest: Guest, text: str) -> None:
        """A container asked for something that this tier cannot give."""
        told = self._notices.setdefault(guest.container, set())
        if text in told or len(told) >= NOTICES_MAX:
            return
        told.add(text)
        try:
            protocol.send(
                self._control, {"event": "notice", "sandbox": guest.sandbox, "container": guest.container, "text": text}
            )
        except OSError:
            return
