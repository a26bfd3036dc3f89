"""`url('https://example.com:80/path?k=v')` and its parts. Source: Kubernetes' URL library, which parses as Go does."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.standard import traversal
from wherry.cel.types import BOOL, STRING, list_of, map_of, opaque

_KNOWN_MAX: Final = 500
"""Characters of a link worth keeping."""
URL: Final = opaque("kubernetes.URL")
_PARTS: Final = re.compile(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?://([^/?]*))?([^?]*)(?:\?(.*))?", re.DOTALL)
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+(?:%25[^\]]*)?\]|[^\[\]<>\"\s^`{}|\\@:]*)(?::(\d*))?")
_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Link:
    """The parts of a URL that has a scheme, or of a path that begins with a slash."""

    __slots__ = ("host", "path", "query", "scheme", "text")
    type_name = "kubernetes.URL"

    def __init__(self, text: str, scheme: str, host: str, path: str, query: str) -> None:
        (self.text, self.scheme, self.host, self.path, self.query) = (text, scheme, host, path, query)

    def equals(self, other: Link) -> bool:
        return self.text == other.text

    def hostname(self) -> str:
        match = _HOST.fullmatch(self.host)
        return match[1].strip("[]") if match else ""

    def port(self) -> str:
        match = _HOST.fullmatch(self.host)
        return (match[2] or "") if match else ""

    def values(self) -> dict[str, list[str]]:
        """The query's values by name; a part with a semicolon or a broken escape is left out."""
        found: dict[str, list[str]] = {}
        for part in self.query.split("&"):
            if part and ";" not in part and not _ESCAPE.search(part):
                (key, _, value) = part.partition("=")
                found.setdefault(_plain(key), []).append(_plain(value))
        return found


def _plain(text: str) -> str:
    return unquote(text.replace("+", " "), errors="replace")


def _parse(text: str) -> Link:
    return _known(text) if len(text) <= _KNOWN_MAX else _read(text)


def _read(text: str) -> Link:
    shown = text.replace("\\", "\\\\").replace('"', '\\"')[:200]
    wrong = Failure(f'URL parse error during conversion from string: parse "{shown}": invalid URI for request')
    if not text or _CONTROL.search(text):
        raise wrong
    match = _PARTS.fullmatch(text)
    if match is None:
        raise wrong
    (scheme, authority, path, query) = (match[1] or "", match[2], match[3], match[4] or "")
    if (not scheme and not path.startswith("/")) or (authority is None and not path.startswith("/")):
        raise wrong
    host = (authority or "").rpartition("@")[2]
    if not _HOST.fullmatch(host) or _ESCAPE.search(path):
        raise wrong
    return Link(text, scheme.lower(), host, path, query)


_known: Final = lru_cache(maxsize=256)(_read)  # the same links come again and again, and never change


def is_url(text: str) -> bool:
    """Whether `url(text)` has a value."""
    try:
        _parse(text)
    except Failure:
        return False
    return True


URLS: Final = Library(
    "url",
    (
        function("url", Overload((STRING,), URL, _parse, traversal)),
        function("isURL", Overload((STRING,), BOOL, is_url, traversal)),
        method("getScheme", Overload((URL,), STRING, lambda link: link.scheme)),
        method("getHost", Overload((URL,), STRING, lambda link: link.host)),
        method("getHostname", Overload((URL,), STRING, Link.hostname)),
        method("getPort", Overload((URL,), STRING, Link.port)),
        method("getEscapedPath", Overload((URL,), STRING, lambda link: quote(link.path, safe="%/:@!$&'()*+,;=~"))),
        method("getQuery", Overload((URL,), map_of(STRING, list_of(STRING)), Link.values)),
    ),
    classes={"kubernetes.URL": Link},
    types={"kubernetes.URL": URL},
)
