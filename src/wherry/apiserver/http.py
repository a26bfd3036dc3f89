"""Request and answer of the plain core: `async handle(request: Request) -> Answer`.

No sockets here: `connection.py` makes requests of HTTP, `in_process.py` of plain calls. A `Response` carries the object as
stored and, where somebody encoded it before, its bytes; whoever needs bytes asks `encoded()`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct, field

from wherry.api.types import Obj
from wherry.apiserver.auth.user import User

if TYPE_CHECKING:
    from wherry.apiserver.limits import Flow
    from wherry.apiserver.metrics import Series

if TYPE_CHECKING:
    from wherry.apiserver.audit.audit import Record

JSON = "application/json"


class Body(Protocol):
    """The rest of a request, piece by piece."""

    async def read(self) -> bytes:
        """b"" at the end."""
        ...


class Request(Struct):
    """One request. Header names are lower case; `query` has the first value of each parameter, `query_string` all of them."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query_string: str = ""
    draft: Any = None
    """A body that is already decoded and private to this request (in-process callers)."""
    user: User | None = None
    """Set by the authentication filter, or by an in-process caller, who is trusted."""
    certificate_user: User | None = None
    """Whom a verified client certificate names (CN, O)."""
    in_process: bool = False
    """Answers are wanted as stored objects, never as bytes."""
    warnings: list[str] = field(default_factory=list)
    """Texts of `Warning: 299` headers collected on the way."""
    upgrade: Any = None
    """The edge's connection, for handlers that take it over (exec, attach, port-forward)."""
    flow: Flow | None = None
    """The flow of priority and fairness it belongs to."""
    series: Series | None = None
    """What it was counted as."""
    elsewhere: float = 0.0
    """Seconds it waited for others: for its turn, and for webhooks."""
    stream: Body | None = None
    """A long body that is passed on as it comes, instead of `body` (proxies)."""
    client: str = ""
    """The address the request came from; "" in process."""
    audit: Record | None = None
    """Where there is an audit log: what it will say of this request."""


class Response(Struct):
    """A whole answer: `obj` as stored and immutable, `data` its encoding when known."""

    status: int = 200
    obj: Any = None
    data: bytes | None = None
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class Stream(Struct):
    """An answer without an end in sight. In process each item is a watch event (dict), else bytes to be sent at once."""

    items: AsyncGenerator[Any, None]
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class Passed(Struct):
    """Somebody else's answer, with its own headers and its body as it comes (proxies, aggregated APIs)."""

    status: int
    phrase: str
    fields: list[tuple[str, str]]
    items: AsyncGenerator[bytes, None]


Takeover: TypeAlias = Callable[[Any], Awaitable[None]]


class Hijack(Struct):
    """The connection itself is handed to `run`, which owns it until it returns (exec, attach, port-forward)."""

    run: Takeover


Answer: TypeAlias = Response | Stream | Passed | Hijack
Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]

__all__ = ["JSON", "Answer", "Handler", "Hijack", "Obj", "Passed", "Request", "Response", "Stream", "Takeover"]
