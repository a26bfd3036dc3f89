"""Image references, by the grammar of the OCI distribution specification: `[host/]path[:tag][@digest]`.

A reference without a registry host names an image of the local store; `registries` knows where it may be pulled from.
A tag is not invented: `cart` and `cart:latest` are two names.
"""

from __future__ import annotations

import re

from msgspec import Struct

NAME_MAX = 255  # of the repository, as the specification says
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.?)+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


class InvalidReference(ValueError):
    """Not an image reference; the text says which part is wrong."""


class Reference(Struct, frozen=True):
    """A parsed reference; empty strings for what it does not say."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises InvalidReference."""
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise InvalidReference(f"{text!r}: the digest must be sha256: and 64 hexadecimal digits")
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            name, tag = rest, ""
        elif not _TAG.fullmatch(tag):
            raise InvalidReference(f"{text!r}: {tag!r} is not a tag (letters, digits, '_', '.', '-', at most 128)")
        host, path = _split_host(name)
        if host and not _HOST.fullmatch(host):
            raise InvalidReference(f"{text!r}: {host!r} is not a registry host")
        if not _PATH.fullmatch(path) or len(path) > NAME_MAX:
            raise InvalidReference(
                f"{text!r}: {path!r} is not a repository name (lower-case letters, digits, '.', '_', '-', '/')"
            )
        return cls(host, path, tag, digest)

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}" if self.host else self.path

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _split_host(name: str) -> tuple[str, str]:
    """The first part is a host when it has a dot or a port, or is localhost."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first.startswith("[")):
        return first, rest
    return "", name
