"""Named formats: `format.dns1123Label().validate(x)`, `format.named('uuid')`. Source: Kubernetes' format library."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Final

from wherry.api import names
from wherry.api.base64_text import problem
from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.libraries.urls import is_url
from wherry.cel.standard import traversal
from wherry.cel.times import parse_date, parse_timestamp
from wherry.cel.types import STRING, list_of, opaque, optional_of
from wherry.cel.values import NONE, Optional

FORMAT: Final = opaque("kubernetes.NamedFormat")
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_SHOWN_MAX: Final = 64


class Format:
    """A name and what it finds wrong with a string."""

    __slots__ = ("check", "name")
    type_name = "kubernetes.NamedFormat"

    def __init__(self, name: str, check: Callable[[str], list[str]]) -> None:
        self.name = name
        self.check = check

    def equals(self, other: Format) -> bool:
        return self.name == other.name

    def validate(self, text: str) -> Optional:
        """`optional.none()` when all is well."""
        wrong = self.check(text)
        return Optional(wrong) if wrong else NONE


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """What `generateName` may be: a name may follow, so it may end with a hyphen."""
    return lambda text: check(f"{text[:-1]}a" if text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    return [] if is_url(text) else [f'parse "{text[:_SHOWN_MAX]}": invalid URI for request']


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        b64decode(text, validate=True)
    except ValueError:
        return [problem(text)]
    return []


def _date(text: str) -> list[str]:
    try:
        parse_date(text)
    except Failure:
        return ["invalid date"]
    return []


def _datetime(text: str) -> list[str]:
    try:
        parse_timestamp(text)
    except Failure:
        return ["invalid datetime"]
    return []


_FORMATS: Final = {
    name: Format(name, check)
    for name, check in (
        ("dns1123Label", names.dns1123_label),
        ("dns1123Subdomain", names.dns1123_subdomain),
        ("dns1035Label", names.dns1035_label),
        ("qualifiedName", names.qualified_name),
        ("dns1123LabelPrefix", _prefix(names.dns1123_label)),
        ("dns1123SubdomainPrefix", _prefix(names.dns1123_subdomain)),
        ("dns1035LabelPrefix", _prefix(names.dns1035_label)),
        ("labelValue", names.label_value),
        ("uri", _uri),
        ("uuid", _uuid),
        ("byte", _byte),
        ("date", _date),
        ("datetime", _datetime),
    )
}


def _constant(found: Format) -> Callable[[], Format]:
    return lambda: found


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return Optional(found) if found is not None else NONE


FORMATS: Final = Library(
    "format",
    (
        *(function(f"format.{name}", Overload((), FORMAT, _constant(found))) for name, found in _FORMATS.items()),
        function("format.named", Overload((STRING,), optional_of(FORMAT), _named)),
        method(
            "validate",
            Overload(
                (FORMAT, STRING),
                optional_of(list_of(STRING)),
                Format.validate,
                lambda _, text: 4 * (traversal(text) + 1),
            ),
        ),
    ),
    classes={"kubernetes.NamedFormat": Format},
    types={"kubernetes.NamedFormat": FORMAT},
)
