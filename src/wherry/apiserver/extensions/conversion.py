"""One custom resource in another version: by changing its apiVersion, or by asking the webhook its definition names.

Always true of a conversion: metadata comes back as it was but for labels and annotations, and what was asked comes back in
the order and number it was asked in. Source: Kubernetes' "Versions in CustomResourceDefinitions" (ConversionReview v1).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from wherry.api import json
from wherry.api.errors import StatusError, internal_error
from wherry.api.types import Obj
from wherry.apiserver.outward import Outward, OutwardError, Target

SECONDS = 30.0
"""What Kubernetes gives a conversion webhook."""
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver-admission"}
_MUTABLE = ("labels", "annotations")


class Converter(Protocol):
    """Many objects of one kind, to one version."""

    waits: bool
    """Whether it asks somebody."""

    def now(self, obj: Obj, api_version: str) -> Obj:
        """Without asking anybody: only the apiVersion changes."""
        ...

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]: ...


class Renaming:
    """Strategy None: the versions differ in name only; pruning does the rest."""

    waits = False

    def now(self, obj: Obj, api_version: str) -> Obj:
        return obj if obj["apiVersion"] == api_version else {**obj, "apiVersion": api_version}

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        return [self.now(obj, api_version) for obj in objects]


class Webhook(Renaming):
    """Strategy Webhook. A definition that is wrong, or a webhook that is not there, fails every request that needs it."""

    waits = True

    def __init__(self, definition: Obj, outward: Outward | None, rng: random.Random) -> None:
        hook = definition["spec"]["conversion"].get("webhook") or {}
        self._target = Target.of(hook.get("clientConfig") or {})
        self._versions: list[str] = hook.get("conversionReviewVersions") or []
        self._kind: str = definition["spec"]["names"]["kind"]
        self._group: str = definition["spec"]["group"]
        self._outward = outward
        self._rng = rng

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        other = [obj for obj in objects if obj["apiVersion"] != api_version]
        if not other:
            return list(objects)
        try:
            converted = iter(await self._ask(other, api_version))
        except _Failed as error:
            raise internal_error(
                f"conversion webhook for {other[0]['apiVersion']}, Kind={self._kind} failed: {error}"
            ) from None
        return [obj if obj["apiVersion"] == api_version else next(converted) for obj in objects]

    async def _ask(self, objects: list[Obj], api_version: str) -> list[Obj]:
        version = next((each for each in self._versions if each in ("v1", "v1beta1")), "v1")
        uid = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        request = {"uid": uid, "desiredAPIVersion": api_version, "objects": objects}
        review = {"kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{version}", "request": request}
        if self._outward is None:
            raise _Failed("this server calls nobody")
        try:
            query = f"?timeout={SECONDS:.0f}s"
            reply = await self._outward.request(self._target, "POST", query, _HEADERS, json.encode(review), SECONDS)
        except OutwardError as error:
            raise _Failed(str(error)) from None
        if not 200 <= reply.status < 300:
            raise _Failed(_status_text(reply.status, reply.body))
        try:
            answer = json.decode(reply.body)
        except ValueError as error:
            raise _Failed(f"couldn't get version/kind; json parse error: {error}") from None
        return _checked(answer, review["apiVersion"], uid, objects, api_version)


class _Failed(Exception):
    """Why, in Kubernetes' words."""


def _status_text(status: int, body: bytes) -> str:
    try:
        message = json.decode(body).get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or f"the server responded with the status code {status}")


def _checked(answer: Any, review_version: Any, uid: str, objects: list[Obj], api_version: str) -> list[Obj]:
    """What the webhook answered, distrusted."""
    if not isinstance(answer, dict) or answer.get("kind") != "ConversionReview":
        raise _Failed("expected a ConversionReview")
    if answer.get("apiVersion") != review_version:
        raise _Failed(
            f"expected webhook response of {review_version}, Kind=ConversionReview, got {answer.get('apiVersion')}"
        )
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _Failed("no response provided")
    if response.get("uid") != uid:
        raise _Failed(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise _Failed(
            str(result.get("message") or "no message provided")
            if result
            else "response.result.status was '', not 'Success'"
        )
    converted = response.get("convertedObjects") or []
    if len(converted) != len(objects):
        raise _Failed(f"expected {len(objects)} converted objects, got {len(converted)}")
    return [
        _restored(index, made, was, api_version)
        for index, (made, was) in enumerate(zip(converted, objects, strict=True))
    ]


def _restored(index: int, made: Any, was: Obj, api_version: str) -> Obj:
    """One converted object with the metadata it is not allowed to change."""
    if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
        raise _Failed(f"invalid converted object at index {index}: invalid metadata of type {type(made).__name__}")
    said = (made.get("apiVersion"), made.get("kind"))
    if said != (api_version, was["kind"]):
        wanted = f"invalid groupVersionKind: expected {api_version}, Kind={was['kind']}"
        raise _Failed(f"invalid converted object at index {index}: {wanted}, got {said[0]}, Kind={said[1]}")
    for key in ("name", "namespace", "uid"):
        if made["metadata"].get(key) != was["metadata"].get(key):
            raise _Failed(f"invalid converted object at index {index}: metadata.{key} must not change")
    metadata = {key: value for key, value in was["metadata"].items() if key not in _MUTABLE}
    for key in _MUTABLE:
        if made["metadata"].get(key):
            metadata[key] = made["metadata"][key]
    return {**made, "metadata": metadata}


def unavailable(definition: Obj) -> StatusError:
    """Somebody who cannot wait asks for an object that only the webhook can show."""
    return internal_error(f"conversion webhook for {definition['spec']['names']['kind']} must be asked first")
