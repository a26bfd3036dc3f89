"""Watches requests go by and writes events of their stages: received, started (answers without an end), complete.

`App` is wrapped only where there is a policy. A `Record` travels with its request: the authentication filter says who it is,
the decoder what was sent; both only ask whether there is one. Events: audit.k8s.io/v1.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from wherry.aio.clock import Clock, rfc3339_micro
from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.audit.file import AuditFile
from wherry.apiserver.audit.policy import API_VERSION, LEVELS, Policy, Rule
from wherry.apiserver.auth.attributes import Attributes, Decision
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import JSON, Answer, Hijack, Passed, Request, Response, Stream

HEADER = "Audit-Id"
ID_MAX = 64
"""Of an Audit-Id that a client brings; a longer one is replaced."""

Serve: TypeAlias = Callable[[Request, RequestInfo], Awaitable[Answer]]


class Record(Struct):
    """One request on its way. `annotations` may be added to by admission."""

    audit: Audit
    id: str
    request: Request
    info: RequestInfo
    received: float
    rule: Rule | None = None
    level: str = "None"
    user: User | None = None
    acting: User | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    sent: bytes | None = None
    ref: Obj = field(default_factory=dict)

    def identified(self, user: User, acting: User, attributes: Attributes, decision: Decision) -> None:
        """Who it is, whom they act for, and whether they may: from here on the policy can be asked."""
        self.user, self.acting = user, acting if acting is not user else None
        self.annotations["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        self.annotations["authorization.k8s.io/reason"] = decision.reason
        self.judge(attributes)
        if self.request.method in ("PATCH", "DELETE"):
            self._saw_body()
        self.audit.stage(self, "RequestReceived", None)

    def _saw_body(self) -> None:
        """A patch or DeleteOptions, which are no objects of the resource; what is not JSON is left out."""
        if self.request.draft is not None:
            self.saw(self.request.draft)
        elif self.request.body and self.level in LEVELS[2:]:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                self.saw(msgspec.json.decode(self.request.body))

    def judge(self, attributes: Attributes) -> None:
        self.rule = self.audit.policy.rule(self.user, attributes)
        self.level = self.rule.level_for(attributes)

    def saw(self, obj: Any) -> None:
        """The body as an object, before anybody changes it."""
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(metadata, dict):
            keys = ("name", "uid", "resourceVersion")
            self.ref.update(
                {key: metadata[key] for key in keys if isinstance(metadata.get(key), str) and metadata[key]}
            )
        if self.level in LEVELS[2:]:
            self.sent = msgspec.json.encode(self.without_managed_fields(obj))

    def without_managed_fields(self, obj: Any) -> Any:
        if self.rule is None or not self.rule.omit_managed_fields or not isinstance(obj, dict):
            return obj
        if isinstance(obj.get("items"), list):
            obj = {**obj, "items": [self.without_managed_fields(item) for item in obj["items"]]}
        metadata = obj.get("metadata")
        if isinstance(metadata, dict) and "managedFields" in metadata:
            kept = {key: value for key, value in metadata.items() if key != "managedFields"}
            obj = {**obj, "metadata": kept}
        return obj


class Audit:
    """One policy and one file."""

    def __init__(self, policy: Policy, file: AuditFile, clock: Clock, rng: Random) -> None:
        self.policy = policy
        self._file = file
        self._clock = clock
        self._rng = rng

    def begin(self, request: Request, info: RequestInfo) -> Record:
        """From here on the request carries its record."""
        given = request.headers.get("audit-id", "")
        known = given if 0 < len(given) <= ID_MAX and given.isprintable() else ""
        id = known or str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        record = request.audit = Record(self, id, request, info, self._clock.time())
        return record

    async def around(self, request: Request, info: RequestInfo, serve: Serve) -> Answer:
        """Serve a request of the wire."""
        record = self.begin(request, info)
        answer = await serve(request, info)
        return self._answered(record, answer)

    async def around_call(self, request: Request, info: RequestInfo, serve: Callable[[], Awaitable[Answer]]) -> Answer:
        """Serve a request of this process: failures are raised."""
        record = self.begin(request, info)
        try:
            answer = await serve()
        except StatusError as error:
            self._unidentified(record)
            self.stage(record, "ResponseComplete", _status(error.code, error.to_status()))
            raise
        return self._answered(record, answer)

    def _unidentified(self, record: Record) -> None:
        """Refused before anybody knew who it was (401)."""
        if record.rule is None:
            record.judge(_attributes(record.info))

    def _answered(self, record: Record, answer: Answer) -> Answer:
        self._unidentified(record)
        if isinstance(answer, Response):
            body = _body(answer)
            self.stage(record, "ResponseComplete", _status(answer.status, body), body)
            return replace(answer, headers={**answer.headers, HEADER: record.id})  # some answers are shared
        if isinstance(answer, Passed):
            self.stage(record, "ResponseStarted", _status(answer.status, None))
            answer.fields = [*answer.fields, (HEADER, record.id)]
            answer.items = self._until_its_end(record, answer.items, answer.status)
            return answer
        if isinstance(answer, Stream):
            answer.headers = {**answer.headers, HEADER: record.id}
            self.stage(record, "ResponseStarted", _status(answer.status, None))
            answer.items = self._until_its_end(record, answer.items, answer.status)
            return answer
        self.stage(record, "ResponseStarted", _status(101, None))
        return Hijack(self._hijacked(record, answer))

    async def _until_its_end(
        self, record: Record, items: AsyncGenerator[Any, None], status: int
    ) -> AsyncGenerator[Any, None]:
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()
            self.stage(record, "ResponseComplete", _status(status, None))

    def _hijacked(self, record: Record, answer: Hijack) -> Callable[[Any], Awaitable[None]]:
        async def run(connection: Any) -> None:
            try:
                await answer.run(connection)
            finally:
                self.stage(record, "ResponseComplete", _status(101, None))

        return run

    def stage(self, record: Record, stage: str, status: Obj | None, body: Any = None) -> None:
        """Write one event, if the policy wants it."""
        rule = record.rule
        if rule is None or record.level == "None" or stage in rule.omit_stages:
            return
        self._file.write(self._event(record, stage, status, body))

    def _event(self, record: Record, stage: str, status: Obj | None, body: Any) -> Obj:
        request, user = record.request, record.user
        event: Obj = {
            "kind": "Event",
            "apiVersion": API_VERSION,
            "level": record.level,
            "auditID": record.id,
            "stage": stage,
            "requestURI": request.path + (f"?{request.query_string}" if request.query_string else ""),
            "verb": record.info.verb,
            "user": user.to_user_info() if user is not None else {},
        }
        if record.acting is not None:
            event["impersonatedUser"] = record.acting.to_user_info()
        event["sourceIPs"] = _sources(request)
        event["userAgent"] = request.headers.get("user-agent", "")
        if record.info.is_resource:
            event["objectRef"] = _reference(record)
        if status is not None:
            event["responseStatus"] = status
        if record.sent is not None:
            event["requestObject"] = msgspec.Raw(record.sent)
        if body is not None and record.level == LEVELS[3]:
            event["responseObject"] = record.without_managed_fields(body)
        event["requestReceivedTimestamp"] = rfc3339_micro(record.received)
        event["stageTimestamp"] = rfc3339_micro(self._clock.time())
        if stage != "RequestReceived" and record.annotations:
            event["annotations"] = dict(record.annotations)
        return event


def _attributes(info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    return Attributes(info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)


def _reference(record: Record) -> Obj:
    info = record.info
    found = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name or record.ref.get("name", ""),
        "uid": record.ref.get("uid", ""),
        "apiGroup": info.group,
        "apiVersion": info.version,
        "resourceVersion": record.ref.get("resourceVersion", ""),
        "subresource": info.subresource,
    }
    return {key: value for key, value in found.items() if value}


def _sources(request: Request) -> list[str]:
    forwarded = [each.strip() for each in request.headers.get("x-forwarded-for", "").split(",") if each.strip()]
    return [*forwarded, request.client] if request.client else forwarded


def _status(code: int, body: Any) -> Obj:
    """Of a failure all but its kind, of a success the code."""
    if isinstance(body, dict) and body.get("kind") == "Status" and code >= 400:
        return {
            "metadata": {},
            **{key: body[key] for key in ("status", "message", "reason", "details") if key in body},
            "code": code,
        }
    return {"metadata": {}, "code": code}


def _body(answer: Response) -> Any:
    if answer.obj is not None or not answer.data or not answer.content_type.startswith(JSON):
        return answer.obj
    return msgspec.json.decode(answer.data)
