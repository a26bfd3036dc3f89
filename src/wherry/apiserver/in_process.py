"""The API without a socket: `client.transport.Transport` over a plain call, as a user the composition root names.

Nothing is serialised. What is sent is copied once, so that the caller may go on using it; what comes back is the stored
object itself and must not be changed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.app import App
from wherry.apiserver.auth.user import AUTHENTICATED, User
from wherry.apiserver.drafts import draft
from wherry.apiserver.filters.authorization import attributes, authorize
from wherry.apiserver.filters.request_info import RequestInfo, parse
from wherry.apiserver.http import Answer, Request, Response, Stream


class InProcessTransport:
    """Trusted to be `user`; RBAC applies to it as to everybody. `manager` is the field manager it writes as; by default
    its name without `system:`."""

    def __init__(self, app: App, user: User, manager: str = "") -> None:
        self._app = app
        self._agent = manager or user.name.removeprefix("system:")
        self._user = user.with_group(AUTHENTICATED)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        answer = await self._serve(method, path, query or {}, draft(body), content_type)
        if not isinstance(answer, Response):
            raise StatusError(400, "BadRequest", f"{method} {path} answers with a stream")
        if answer.status >= 400:
            raise StatusError(answer.status, "NotFound", "the server could not find the requested resource")
        if isinstance(answer.obj, dict):
            return answer.obj
        return {}

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Obj], None]:
        answer = await self._serve("GET", path, {"watch": "true", **(query or {})}, None, "")
        assert isinstance(answer, Stream), path
        async with aclosing(answer.items) as items:
            yield items

    async def close(self) -> None:
        """There is nothing to close."""

    async def _serve(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> Any:
        headers = {"content-type": content_type, "user-agent": self._agent} if content_type else {}
        request = Request(
            method,
            path,
            query,
            headers,
            query_string=urlencode(query) if query else "",
            draft=body,
            user=self._user,
            in_process=True,
        )
        info = parse(method, path, query)
        if self._app.audit is not None:
            return await self._app.audit.around_call(request, info, lambda: self._allowed(request, info))
        return await self._allowed(request, info)

    async def _allowed(self, request: Request, info: RequestInfo) -> Answer:
        authorizer = self._app.core.authorizer
        if request.audit is not None:
            asked = attributes(info, request.query)
            request.audit.identified(self._user, self._user, asked, authorizer.decide(self._user, asked))
        authorize(info, self._user, authorizer, request.query)
        return await self._app.serve(request, info)
