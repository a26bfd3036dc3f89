"""One request from its arrival to its answer, and the table that finds who answers it.

A handler answers at once or later, exactly once. What it raises becomes the answer: `LauncherError` as it is,
`SyscallError` with the call's name and a hint. Anything else is our bug: it is printed, and answered as InternalError,
because ending here would end every pod.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wherry.launcher import protocol
from wherry.launcher.connection import Connection
from wherry.launcher.hints import explain
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.syscalls import SyscallError

Operation = Callable[["Request"], None]


class Request:
    """`args` as sent. `fds` belong to the request until `take_fds` and are closed with its answer."""

    def __init__(self, connection: Connection, message: Message, fds: list[int]) -> None:
        self.connection = connection
        self.op = str(message.get("op", ""))
        self.args: dict[str, Any] = message.get("args") or {}
        self._number = message.get("id")
        self._fds = fds
        self._answered = False

    def take_fds(self) -> list[int]:
        """The descriptors that came along; the caller closes them from now on."""
        fds, self._fds = self._fds, []
        return fds

    def text(self, name: str, default: str | None = None) -> str:
        """A string argument. Raises LauncherError(InvalidArgument)."""
        value = self.args.get(name, default)
        if not isinstance(value, str):
            raise LauncherError("InvalidArgument", f"{self.op}: {name} must be a string, not {value!r}")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """An integer argument. Raises LauncherError(InvalidArgument)."""
        value = self.args.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise LauncherError("InvalidArgument", f"{self.op}: {name} must be an integer, not {value!r}")
        return value

    def answer(self, args: Mapping[str, Any] | None = None, fds: Sequence[int] = ()) -> None:
        """Success; `fds` stay the caller's."""
        self._finish({"id": self._number, "ok": dict(args or {})}, fds)

    def refuse(self, reason: str, message: str) -> None:
        """Failure."""
        self._finish({"id": self._number, "error": {"reason": reason, "message": message}}, ())

    def _finish(self, message: Message, fds: Sequence[int]) -> None:
        assert not self._answered, f"{self.op} is answered twice"
        self._answered = True
        protocol.close_fds(self.take_fds())
        try:
            self.connection.send(message, fds)
        except LauncherError as error:
            self.connection.send({"id": self._number, "error": {"reason": error.reason, "message": error.message}})

    def fail(self, error: BaseException) -> None:
        """Turn what a handler raised into the answer."""
        if isinstance(error, LauncherError):
            self.refuse(error.reason, error.message)
        elif isinstance(error, SyscallError):
            self.refuse("Kernel", explain(error))
        elif isinstance(error, OSError):
            self.refuse("Kernel", f"{self.op}: {error}")
        else:
            traceback.print_exception(error, file=sys.stderr)
            self.refuse("InternalError", f"{self.op}: {type(error).__name__}: {error}")


def dispatch(operations: Mapping[str, Operation], request: Request) -> None:
    """Let the operation's handler answer."""
    handler = operations.get(request.op)
    if handler is None:
        request.refuse("UnknownOperation", f"the launcher has no operation {request.op!r}")
        return
    try:
        handler(request)
    except Exception as error:  # noqa: BLE001 -- see the top of the file
        request.fail(error)
