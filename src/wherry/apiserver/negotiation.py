"""What the caller wants to read (Accept) and what it sent (Content-Type), and the encodings themselves.

Protobuf is read (`protobuf.py`) but never written: of an Accept list the first type we can write is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from wherry.api import json, yaml
from wherry.api.errors import StatusError, not_acceptable, unsupported_media_type

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TEXT = "text/plain; charset=utf-8"
ACCEPTED = (JSON, YAML, PROTOBUF)
"""As Kubernetes lists them in its 406 and 415; protobuf we only read."""
STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_TRANSFORMS = frozenset({TABLE, PARTIAL, PARTIAL_LIST})
_TRANSFORM_VERSIONS = frozenset({"v1", "v1beta1"})
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")

_format_json = msgspec.json.format


@dataclass(frozen=True, slots=True)
class Representation:
    """How an answer is to be written. `as_kind` is "" for the object itself."""

    media: str = JSON
    as_kind: str = ""
    as_version: str = "v1"
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """The stored bytes will do."""
        return self.media == JSON and not self.as_kind and not self.pretty


PLAIN = Representation()
PRETTY = Representation(pretty=True)


def negotiate(headers: Mapping[str, str], query: Mapping[str, str], stream: bool = False) -> Representation:
    """The first type of Accept, by quality, that can be written. Raises 406."""
    accept = headers.get("accept", "")
    pretty = wants_pretty(headers, query)
    if accept in ("", "*/*", JSON):
        return PRETTY if pretty else PLAIN
    chosen = _choose(accept, stream)
    if isinstance(chosen, StatusError):
        raise chosen
    return Representation(chosen.media, chosen.as_kind, chosen.as_version, True) if pretty else chosen


def wants_pretty(headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
    """Asked for by `?pretty`, or a person is reading."""
    if "pretty" in query:
        return query["pretty"].lower() not in ("false", "0")
    return headers.get("user-agent", "").startswith(_BROWSERS)


def for_error(headers: Mapping[str, str], query: Mapping[str, str]) -> Representation:
    """The representation of a Status: as asked for, JSON when that cannot be told."""
    try:
        wanted = negotiate(headers, query)
    except StatusError:
        return PLAIN
    return Representation(wanted.media, pretty=wanted.pretty)


@lru_cache(maxsize=512)  # clients send a handful of different headers
def _choose(accept: str, stream: bool) -> Representation | StatusError:
    known = False
    for media, parameters in _by_quality(accept):
        if media == "*/*":
            return PLAIN
        if media not in ACCEPTED:
            continue
        known = True
        if media == PROTOBUF:
            continue
        as_kind = parameters.get("as", "")
        if as_kind:
            version, group = parameters.get("v", ""), parameters.get("g", "")
            if as_kind not in _TRANSFORMS or version not in _TRANSFORM_VERSIONS or group != "meta.k8s.io":
                continue
            return Representation(media, as_kind, version)
        return Representation(media)
    if known:
        return not_acceptable(ACCEPTED)
    listed = ", ".join((*ACCEPTED, *STREAMS) if stream else ACCEPTED)
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {listed}", {})


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
        return yaml.dump(obj).encode()
    data: bytes = json.encode(obj)
    return _format_json(data, indent=2) if representation.pretty else data + b"\n"


def rewrite(data: bytes, obj: Any, representation: Representation) -> bytes:
    """As `encode`, where the plain JSON is at hand."""
    if representation.media == YAML:
        return yaml.dump(obj).encode()
    return _format_json(data, indent=2) if representation.pretty else data + b"\n"


# -- reading


def content_media(headers: Mapping[str, str]) -> str:
    """The media type of the request body; JSON when nothing is said."""
    value = headers.get("content-type", "")
    return value.split(";", 1)[0].strip().lower() if value else JSON


def refuse_media(media: str) -> StatusError:
    """415 for a body we cannot read."""
    return unsupported_media_type(media, ACCEPTED)
