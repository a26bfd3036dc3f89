"""Reads catalogue.xz, the facts about every Kubernetes version that tools/make_catalogue.py wrote.

The file is a row of xz streams behind a directory of offsets, so that starting costs only the default version's 18 KB;
other versions and the descriptions are decompressed when somebody asks for them. Nothing here is kept: callers cache.
"""

from __future__ import annotations

import lzma
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

Node: TypeAlias = dict[str, Any]
"""One schema as in Kubernetes' swagger, except that `ref` is the bare name of a definition and prose is left out."""


class Facts(NamedTuple):
    """What one version serves: resources in the order of discovery, definitions by name."""

    resources: list[dict[str, Any]]
    definitions: dict[str, Node]


class Prose(NamedTuple):
    """What only documentation needs, per definition: [text, {field: text}] and {field: default}."""

    descriptions: dict[str, tuple[str, dict[str, str]]]
    defaults: dict[str, dict[str, Any]]


class _File(NamedTuple):
    directory: dict[str, Any]
    streams: bytes


@cache
def _file() -> _File:
    decompressor = lzma.LZMADecompressor()
    directory = decompressor.decompress(Path(__file__).with_name("catalogue.xz").read_bytes())
    return _File(msgspec.json.decode(directory), decompressor.unused_data)


def _stream(name: str) -> Any:
    start, end = _file().directory["streams"][name]
    return msgspec.json.decode(lzma.decompress(_file().streams[start:end]))


def _used(pool: dict[str, Any], version: str) -> dict[str, Any]:
    """The pool's entries of one version; positions are stored as differences."""
    entries = pool["definitions"]
    return dict(entries[position] for position in accumulate(pool["uses"][version]))


def default_version() -> str:
    version: str = _file().directory["version"]
    return version


def versions() -> list[str]:
    """Every version in the file, oldest first: 1.25 ... 1.37."""
    found: list[str] = _file().directory["versions"]
    return found


def facts(version: str) -> Facts:
    """Resources and structure of one of versions()."""
    if version == default_version():
        stream = _stream("default")
        return Facts(stream["resources"], stream["definitions"])
    stream = _stream("others")
    return Facts(stream["resources"][version], _used(stream, version))


def prose(version: str) -> Prose:
    """Descriptions and defaults of one of versions(); the defaults are those of the default version."""
    stream = _stream("prose")
    return Prose(_used(stream, version), stream["defaults"])
