"""Semantic versions: `semver('1.2.3-rc.1')`. Source: Kubernetes' semver library; order and syntax are semver.org 2.0.0's."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.standard import traversal
from wherry.cel.types import BOOL, INT, STRING, opaque
from wherry.cel.values import INT_MAX

SEMVER: Final = opaque("kubernetes.Semver")
_TEXT_MAX: Final = 1000
_NUMBER: Final = "(0|[1-9][0-9]{0,18})"
_PRE: Final = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PRE}(?:\.{_PRE})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?", re.ASCII
)


class Version:
    """`order` compares as semver.org says; what was built from what counts for nothing."""

    __slots__ = ("major", "minor", "order", "patch")
    type_name = "kubernetes.Semver"

    def __init__(self, major: int, minor: int, patch: int, pre: str) -> None:
        (self.major, self.minor, self.patch) = (major, minor, patch)
        parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
        self.order = (major, minor, patch, not pre, parts)

    def equals(self, other: Version) -> bool:
        return self.order == other.order


@lru_cache(maxsize=256)  # the same versions come again and again, and never change
def _parse(text: str, normalize: bool = False) -> Version:
    if normalize:
        text = _normalized(text)
    match = _VERSION.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if match is None or any(int(match[part]) > INT_MAX for part in (1, 2, 3)):
        raise Failure(f'Semver parse error during conversion from string: Invalid version "{text[:80]}"')
    return Version(int(match[1]), int(match[2]), int(match[3]), match[4] or "")


def _normalized(text: str) -> str:
    """`v1.02` becomes `1.2.0`: no prefix, three numbers, no zeros before them."""
    text = text.removeprefix("v")[:_TEXT_MAX]
    match = re.match(r"[0-9.]*", text)
    (core, rest) = (match[0], text[match.end() :]) if match else ("", text)
    numbers = [part.lstrip("0") or "0" if part else "" for part in core.split(".")]
    return ".".join([*numbers, *["0"] * (3 - len(numbers))]) + rest


def _valid(text: str, normalize: bool = False) -> bool:
    try:
        _parse(text, normalize)
    except Failure:
        return False
    return True


SEMVERS: Final = Library(
    "semver",
    (
        function(
            "semver",
            Overload((STRING,), SEMVER, _parse, traversal),
            Overload((STRING, BOOL), SEMVER, _parse, traversal),
        ),
        function(
            "isSemver",
            Overload((STRING,), BOOL, _valid, traversal),
            Overload((STRING, BOOL), BOOL, _valid, traversal),
        ),
        method("major", Overload((SEMVER,), INT, lambda version: version.major)),
        method("minor", Overload((SEMVER,), INT, lambda version: version.minor)),
        method("patch", Overload((SEMVER,), INT, lambda version: version.patch)),
        method("isGreaterThan", Overload((SEMVER, SEMVER), BOOL, lambda a, b: a.order > b.order)),
        method("isLessThan", Overload((SEMVER, SEMVER), BOOL, lambda a, b: a.order < b.order)),
        method("compareTo", Overload((SEMVER, SEMVER), INT, lambda a, b: (a.order > b.order) - (a.order < b.order))),
    ),
    classes={"kubernetes.Semver": Version},
    types={"kubernetes.Semver": SEMVER},
)
