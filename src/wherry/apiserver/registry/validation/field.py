"""One constructor per kind of field error, and the rules half of all fields share.

Reasons and texts are those of k8s.io/apimachinery's field errors, part of the documented Status: `causes[].reason`,
`causes[].message`, `causes[].field`. A path is plain text as users write it: `spec.ports[0].port`, `data[key]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj

NON_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
_URL_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_NOT_A_PATH = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
PORT_RANGE = "must be between 1 and 65535, inclusive"


def quote(text: str) -> str:
    """A string as error texts show it: double quotes, backslash escapes, other scripts as they are."""
    quoted = msgspec.json.encode(text).decode()
    return quoted.replace("\\u00", "\\x") if "\\u00" in quoted else quoted


def show(value: Any) -> str:
    """A rejected value as error texts show it: a quoted string, a bare number, JSON for the rest."""
    if isinstance(value, str):
        return quote(value)
    return msgspec.json.encode(value).decode()


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _text("Required value", detail), field)


def invalid(field: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueInvalid", _text(f"Invalid value: {show(value)}", detail), field)


def forbidden(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueForbidden", _text("Forbidden", detail), field)


def duplicate(field: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueDuplicate", _text(f"Duplicate value: {show(value)}", detail), field)


def not_found(field: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueNotFound", _text(f"Not found: {show(value)}", detail), field)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(quote(each) for each in supported)
    detail = f"supported values: {listed}" if listed else ""
    return Cause("FieldValueNotSupported", _text(f"Unsupported value: {show(value)}", detail), field)


def too_long(field: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)


def too_many(field: str, actual: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {limit} items", field)


def _text(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


# -- rules many fields share


def each_invalid(field: str, value: Any, problems: Iterable[str]) -> list[Cause]:
    """One `Invalid value` per problem a name rule found."""
    return [invalid(field, value, problem) for problem in problems]


def non_negative(value: Any, field: str) -> list[Cause]:
    """An absent number is fine."""
    return [invalid(field, value, NON_NEGATIVE)] if value is not None and value < 0 else []


def one_of(value: Any, field: str, supported: Iterable[str], need: bool = False) -> list[Cause]:
    """An enumeration; empty is fine unless it is needed."""
    if not value:
        return [required(field)] if need else []
    return [] if value in supported else [not_supported(field, value, supported)]


def unchanged(new: Any, old: Any, field: str, detail: str = IMMUTABLE) -> list[Cause]:
    """An immutable field, compared with empty and absent alike."""
    return [] if (new or None) == (old or None) else [invalid(field, new, detail)]


def port_number(value: Any, field: str) -> list[Cause]:
    return [] if isinstance(value, int) and 1 <= value <= 65535 else [invalid(field, value, PORT_RANGE)]


def port_number_or_name(value: Any, field: str) -> list[Cause]:
    """An int-or-string port: a number in range or an IANA service name."""
    if isinstance(value, str):
        return each_invalid(field, value, names.port_name(value))
    return port_number(value or 0, field)


def labels(mapping: Obj | None, field: str) -> list[Cause]:
    """Keys are qualified names, values label values; all causes name the map itself."""
    causes: list[Cause] = []
    for key, value in (mapping or {}).items():
        causes += each_invalid(field, key, names.qualified_name(key))
        causes += each_invalid(field, value, names.label_value(value))
    return causes


def qualified(value: str, field: str) -> list[Cause]:
    return each_invalid(field, value, names.qualified_name(value))


def in_order(mapping: Obj | None) -> Obj | None:
    """A map as Go writes it: by its keys."""
    return None if mapping is None else dict(sorted(mapping.items()))


def as_list(value: Any) -> list[Any]:
    """Absent and null lists read as empty."""
    return value or []


def as_dict(value: Any) -> Obj:
    """Absent and null objects read as empty."""
    return value or {}


def domain_prefixed_path(value: str, path: str) -> list[Cause]:
    """`acme.io/foo`."""
    if not value:
        return [required(path)]
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    causes = each_invalid(path, domain, names.dns1123_subdomain(domain))
    return causes + ([] if _URL_PATH.fullmatch(rest) else [invalid(path, rest, _NOT_A_PATH)])
