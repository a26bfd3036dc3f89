"""One request as whoever sent it, and an auditor, know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """Seconds are virtual. `code` 0: never answered; `expected` and `revision` are resourceVersions, 0 for none."""

    number: int
    at: float
    who: str
    method: str
    path: str
    expected: int = 0
    ended: float = -1.0
    code: int = 0
    revision: int = 0
    uid: str = ""
    name: str = ""
    """As answered; the creator of a pod leaves it to the server."""
    query: dict[str, str] = field(default_factory=dict)
    listed: dict[tuple[str, str], int] | None = None
    """Of a list of everything: (namespace, name) -> resourceVersion."""
    newest: int = 0
    """The newest revision anybody had been told of when it was sent."""
    worker: str = ""
    """The task that sent it, which controllers name after themselves."""
    lost: bool = False
    """It was served, but the answer did not arrive."""

    def __str__(self) -> str:
        outcome = f"{self.code}" + (f" at {self.revision}" if self.revision else "") if self.code else "no answer"
        made = f"/{self.name}" if self.method == "POST" and self.name and self.name not in self.path else ""
        return f"{self.at:7.3f}  {self.who}: {self.method} {self.path}{made} -> {outcome}{' (lost)' * self.lost}"


class Calls:
    """All requests of a simulation, in the order in which they were sent."""

    def __init__(self, most: int) -> None:
        self.all: list[Call] = []
        self.newest = 0
        self._most = most

    def begin(self, at: float, who: str, method: str, path: str, query: Any, body: Any) -> Call:
        """Raises Restless when there were too many: somebody goes round in circles."""
        if len(self.all) >= self._most:
            raise Restless(f"{self._most} requests and no end: the last from {who}, {method} {path}")
        metadata = body.get("metadata") if isinstance(body, dict) else None
        expected = (metadata or {}).get("resourceVersion") if method == "PUT" else None
        call = Call(len(self.all), at, who, method, path, int(expected or 0), query=dict(query or {}))
        call.newest = self.newest
        self.all.append(call)
        return call

    def answered(self, call: Call, at: float, answer: Any) -> None:
        call.ended, call.code = at, 200
        metadata = answer.get("metadata") or {}
        call.revision = int(metadata.get("resourceVersion") or 0)
        call.uid, call.name = metadata.get("uid", ""), metadata.get("name", "")
        self.newest = max(self.newest, call.revision)
        if call.method == "GET" and "items" in answer:
            call.listed = {
                (one["metadata"].get("namespace", ""), one["metadata"]["name"]): int(one["metadata"]["resourceVersion"])
                for one in answer["items"]
            }


class Restless(Exception):
    """The control plane does not come to rest."""
