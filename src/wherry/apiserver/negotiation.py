"""What the caller wants to read (Accept) and what it sent (Content-Type), and the encodings themselves.

Of an Accept list the first type we can write is taken. Protobuf can be written of what has a message: built-in kinds, and the
metadata of everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from wherry.api import json
from wherry.api.errors import StatusError, not_acceptable, unsupported_media_type
from wherry.apiserver import protobuf_encode

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TEXT = "text/plain; charset=utf-8"
ACCEPTED = (JSON, YAML, PROTOBUF)
"""As Kubernetes lists them in its 406 and 415."""
WITHOUT_PROTOBUF = (JSON, YAML)
NO_MESSAGE = ("", "")
"""(apiVersion, kind) of a custom resource."""
PROTOBUF_ITEMS_MAX = 500
"""What clients in Go ask for at a time. A longer list is JSON for who takes both: joined stored bytes, fifty times quicker."""
STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_TRANSFORMS = frozenset({TABLE, PARTIAL, PARTIAL_LIST})
_TRANSFORM_VERSIONS = frozenset({"v1", "v1beta1"})
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")

_format_json = msgspec.json.format


class Representation(Struct, frozen=True):
    """How an answer is to be written. `as_kind` is "" for the object itself."""

    media: str = JSON
    as_kind: str = ""
    as_version: str = "v1"
    pretty: bool = False
    or_json: bool = False
    """It is protobuf, and JSON would do."""

    def of_list(self, items: int) -> Representation:
        """For a list of so many."""
        if self.media == PROTOBUF and self.or_json and items > PROTOBUF_ITEMS_MAX:
            return Representation(JSON, self.as_kind, self.as_version)
        return self

    @property
    def plain(self) -> bool:
        """The stored bytes will do."""
        return self.media == JSON and not self.as_kind and not self.pretty


PLAIN = Representation()
PRETTY = Representation(pretty=True)


def negotiate(
    headers: Mapping[str, str],
    query: Mapping[str, str],
    stream: bool = False,
    message: tuple[str, str] | None = None,
) -> Representation:
    """The first type of Accept, by quality, that can be written. `message`: (apiVersion, kind) of the objects answered with,
    None where there are none. Raises 406."""
    accept = headers.get("accept", "")
    pretty = wants_pretty(headers, query)
    if accept in ("", "*/*", JSON):
        return PRETTY if pretty else PLAIN
    chosen = _choose(accept, stream, message)
    if isinstance(chosen, StatusError):
        raise chosen
    return replace(chosen, pretty=True) if pretty else chosen


def wants_pretty(headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
    """Asked for by `?pretty`, or a person is reading."""
    if "pretty" in query:
        return query["pretty"].lower() not in ("false", "0")
    return headers.get("user-agent", "").startswith(_BROWSERS)


def for_error(headers: Mapping[str, str], query: Mapping[str, str]) -> Representation:
    """The representation of a Status: as asked for, JSON when that cannot be told."""
    try:
        wanted = negotiate(headers, query, message=("v1", "Status"))
    except StatusError:
        return PLAIN
    return Representation(wanted.media, pretty=wanted.pretty)


@lru_cache(maxsize=2048)  # clients send a handful of different headers, for some dozens of kinds
def _choose(accept: str, stream: bool, message: tuple[str, str] | None) -> Representation | StatusError:
    known = False
    clauses = _by_quality(accept)
    for media, parameters in clauses:
        if media == "*/*":
            return PLAIN
        if media not in ACCEPTED:
            continue
        known = True
        as_kind, version = parameters.get("as", ""), parameters.get("v", "") or "v1"
        if as_kind:
            group = parameters.get("g", "")
            if as_kind not in _TRANSFORMS or parameters.get("v") not in _TRANSFORM_VERSIONS or group != "meta.k8s.io":
                continue
        if media != PROTOBUF:
            return Representation(media, as_kind, version if as_kind else "v1")
        if _has_message(as_kind, message):
            json_too = any(other in (JSON, "*/*") and said.get("as", "") == as_kind for other, said in clauses)
            return Representation(media, as_kind, version if as_kind else "v1", or_json=json_too)
    accepted = WITHOUT_PROTOBUF if message == NO_MESSAGE else ACCEPTED
    if known:
        return not_acceptable(accepted)
    listed = ", ".join((*ACCEPTED, *STREAMS) if stream else ACCEPTED)
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {listed}", {})


def _has_message(as_kind: str, message: tuple[str, str] | None) -> bool:
    if message is None or as_kind == TABLE:
        return False
    return bool(as_kind) or (message != NO_MESSAGE and protobuf_encode.has_message(*message))


def _by_quality(accept: str) -> list[tuple[str, dict[str, str]]]:
    clauses: list[tuple[float, str, dict[str, str]]] = []
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 1.0
        clauses.append((quality, media.lower(), parameters))
    clauses.sort(key=lambda each: -each[0])
    return [(media, parameters) for _, media, parameters in clauses]


# -- writing


def encode(obj: Any, representation: Representation) -> bytes:
    """An object in the representation's media type (its transform is the caller's business)."""
    if representation.media == YAML:
        return _yaml(obj)
    if representation.media == PROTOBUF:
        return protobuf_encode.encode(obj)
    data: bytes = json.encode(obj)
    return _format_json(data, indent=2) if representation.pretty else data + b"\n"


def _yaml(obj: Any) -> bytes:
    from wherry.api import yaml  # most clients never ask for any

    return yaml.dump(obj).encode()


def rewrite(data: bytes, obj: Any, representation: Representation) -> bytes:
    """As `encode`, where the plain JSON is at hand."""
    if representation.media == YAML:
        return _yaml(obj)
    if representation.media == PROTOBUF:
        return protobuf_encode.encode(obj)
    return _format_json(data, indent=2) if representation.pretty else data + b"\n"


# -- reading


def content_media(headers: Mapping[str, str]) -> str:
    """The media type of the request body; JSON when nothing is said."""
    value = headers.get("content-type", "")
    return value.split(";", 1)[0].strip().lower() if value else JSON


def refuse_media(media: str) -> StatusError:
    """415 for a body we cannot read."""
    return unsupported_media_type(media, ACCEPTED)
