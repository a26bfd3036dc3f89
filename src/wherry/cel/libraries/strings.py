"""Strings: positions count code points. Source: cel-go's string extension, version 2, as Kubernetes enables it."""

from __future__ import annotations

from typing import Final

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.libraries.formatting import format_charge, format_string, quoted
from wherry.cel.standard import traversal
from wherry.cel.types import DYN, INT, STRING, list_of
from wherry.cel.values import Value

_STRINGS: Final = list_of(STRING)
_ASCII_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_ASCII_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_BLANKS: Final = (
    " \t\n\v\f\r\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise Failure(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise Failure(f"index out of range: {start}")
    return start if not part else text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return len(text) if not part else text.rfind(part)
    if last < 0:
        raise Failure(f"index out of range: {last}")
    if not part:
        return last
    return text.rfind(part, 0, last + len(part)) if last < len(text) else -1


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise Failure(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise Failure(f"index out of range: {end}")
    if start > end:
        raise Failure(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator == "":
        parts = list(text)
        return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit) if limit != 0 else text


def _replace_charge(text: str, old: str, new: str, limit: int = -1) -> int:
    """What is made may be much longer than what was given."""
    count = (len(text) // max(len(old), 1)) + 1
    count = min(count, limit) if limit >= 0 else count
    return (2 * len(text) + count * max(len(new) - len(old), 0)) // 10


def _join(parts: list[Value], separator: str = "") -> str:
    if not all(isinstance(part, str) for part in parts):
        raise Failure("no such overload")
    return separator.join(parts)


def _join_charge(parts: list[Value], separator: str = "") -> int:
    return len(parts) + (sum(len(part) for part in parts if isinstance(part, str)) + len(parts) * len(separator)) // 10


STRINGS: Final = Library(
    "strings",
    (
        method("charAt", Overload((STRING, INT), STRING, _char_at)),
        method(
            "indexOf",
            Overload((STRING, STRING), INT, _index_of, traversal),
            Overload((STRING, STRING, INT), INT, _index_of, traversal),
        ),
        method(
            "lastIndexOf",
            Overload((STRING, STRING), INT, _last_index_of, traversal),
            Overload((STRING, STRING, INT), INT, _last_index_of, traversal),
        ),
        method("lowerAscii", Overload((STRING,), STRING, lambda text: text.translate(_ASCII_LOWER), traversal)),
        method("upperAscii", Overload((STRING,), STRING, lambda text: text.translate(_ASCII_UPPER), traversal)),
        method("trim", Overload((STRING,), STRING, lambda text: text.strip(_BLANKS), traversal)),
        method(
            "substring",
            Overload((STRING, INT), STRING, _substring, traversal),
            Overload((STRING, INT, INT), STRING, _substring, traversal),
        ),
        method(
            "replace",
            Overload((STRING, STRING, STRING), STRING, _replace, _replace_charge),
            Overload((STRING, STRING, STRING, INT), STRING, _replace, _replace_charge),
        ),
        method(
            "split",
            Overload((STRING, STRING), _STRINGS, _split, lambda text, separator: len(text)),
            Overload((STRING, STRING, INT), _STRINGS, _split, lambda text, separator, limit: len(text)),
        ),
        method(
            "join",
            Overload((_STRINGS,), STRING, _join, _join_charge),
            Overload((_STRINGS, STRING), STRING, _join, _join_charge),
        ),
        method("format", Overload((STRING, list_of(DYN)), STRING, format_string, format_charge)),
        function("strings.quote", Overload((STRING,), STRING, quoted, traversal)),
    ),
)
