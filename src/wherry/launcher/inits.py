"""The launcher's side of the conversations with pod inits: numbered requests, answers handed on to who asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from wherry.launcher import protocol
from wherry.launcher.connection import Connection
from wherry.launcher.protocol import Message
from wherry.launcher.records import Sandbox
from wherry.launcher.requests import Request

Answered = Callable[[Message, list[int]], None]


class Inits:
    """What has been asked and not been answered yet."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._calls: dict[tuple[Connection, int], tuple[Request, Answered]] = {}

    def ask(self, sandbox: Sandbox, request: Request, answered: Answered, op: str, **args: Any) -> None:
        """`answered` gets the answer and owns its descriptors; if the init ends first, `request` is refused instead."""
        assert sandbox.init is not None
        number = next(self._numbers)
        self._calls[sandbox.init, number] = (request, answered)
        sandbox.init.send({"id": number, "op": op, "args": args})

    def relay(self, sandbox: Sandbox, request: Request, op: str, **args: Any) -> None:
        """Ask, and answer `request` with what comes back."""

        def answered(message: Message, fds: list[int]) -> None:
            if "error" in message:
                request.refuse(message["error"]["reason"], message["error"]["message"])
            else:
                request.answer(message["ok"], fds)
            protocol.close_fds(fds)

        self.ask(sandbox, request, answered, op, **args)

    def answered(self, sandbox: Sandbox, message: Message, fds: list[int]) -> None:
        """An answer has come."""
        assert sandbox.init is not None
        call = self._calls.pop((sandbox.init, message["id"]), None)
        if call is None:
            protocol.close_fds(fds)
        else:
            call[1](message, fds)

    def gone(self, sandbox: Sandbox) -> None:
        """The init has ended: nobody waits for it any longer."""
        for key in [key for key in self._calls if key[0] is sandbox.init]:
            self._calls.pop(key)[0].refuse("NotRunning", "the pod has ended")
