"""A server core whose webhooks are plain functions: `Callee` keeps the promise of `outward.Outward` without sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from api_core import Server, make_server

from wherry.api.types import Obj
from wherry.apiserver.outward import OutwardError, OutwardTimeout, Reply, Target

GROUP = "/apis/admissionregistration.k8s.io/v1"
Answering = Callable[[Obj], Any]
"""AdmissionRequest -> AdmissionResponse without uid, bytes of a whole answer, or an exception to be raised."""


class Callee:
    """Every webhook of the world, by the path of its URL."""

    def __init__(self) -> None:
        self.answers: dict[str, Answering] = {}
        self.asked: list[tuple[str, Obj]] = []
        self.delays: dict[str, float] = {}

    async def request(
        self, target: Target, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        url = target.base + path
        where = target.base.rpartition("/")[2]
        review = json.loads(body)
        self.asked.append((where, review["request"]))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(self.delays.get(where, 0))
        except TimeoutError:
            raise OutwardTimeout("context deadline exceeded", method, url) from None
        answer = self.answers[where](review["request"])
        if isinstance(answer, OSError):
            raise OutwardError(str(answer), method, url)
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, bytes):
            return Reply(200, {}, answer)
        response = {"uid": review["request"]["uid"], **answer}
        said = {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}
        return Reply(200, {"content-type": "application/json"}, json.dumps(said).encode())

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


def allow(_: Obj) -> Obj:
    return {"allowed": True}


def patching(*operations: Obj) -> Answering:
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": text}


def hook(name: str, *resources: str, operations: tuple[str, ...] = ("*",), **more: Any) -> Obj:
    """A webhook at https://hooks/NAME; its rule is about all versions of all groups."""
    rule = {"operations": list(operations), "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}
    return {
        "name": f"{name}.example.com",
        "clientConfig": {"url": f"https://hooks/{name}"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [rule],
        **more,
    }


async def configure(server: Server, kind: str, name: str, *hooks: Obj) -> None:
    """`kind`: Mutating or Validating."""
    body = {"metadata": {"name": name}, "webhooks": list(hooks)}
    said = await server.ask("POST", f"{GROUP}/{kind.lower()}webhookconfigurations", body)
    assert said.status == 201, said.body


async def world() -> tuple[Server, Callee]:
    server = await make_server()
    callee = Callee()
    server.app.core.outward = callee
    return server, callee
