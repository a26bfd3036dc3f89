"""JSON as the API reads it: fast, and able to say which fields came twice.

Integers keep every digit. NaN and infinity are refused. As in Go, what is no Unicode becomes U+FFFD, and of a field that
comes twice the last one counts; `decode_strict` also names such fields, for fieldValidation. Messages about malformed
text are those clients know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec

DEPTH_MAX = 250
"""Of a body. No API object comes near it; Kubernetes takes 10,000, which Python's own stack does not."""
_TOO_DEEP = "exceeded max depth"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.S)  # one without an end goes to the end: linear in any text
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_decode = msgspec.json.Decoder().decode
_ESCAPE = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.S
)
encode = msgspec.json.Encoder().encode
"""value -> compact UTF-8 bytes, fields in the order of the dict."""


def decode(data: bytes | str) -> Any:
    """The value; raises ValueError for malformed text, also for text nested too deep to be an object."""
    return _read(data)[0]


def _read(data: bytes | str) -> tuple[Any, bytes | str]:
    """The value, and the text it was read from: what is no Unicode in it has been replaced, as Go does."""
    try:
        try:
            return _decode(data), data
        except ValueError:
            mended = _mended(data)
            if mended == data:
                raise
            return _decode(mended), mended
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _mended(data: bytes | str) -> bytes | str:
    """Bytes that are no UTF-8, and escapes of half a character, become U+FFFD."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    mended = _ESCAPE.sub(lambda found: "\ufffd" if found["half"] else found[0], text)
    return mended if isinstance(data, str) else mended.encode()


def is_deep(data: bytes | str) -> bool:
    """Whether well-formed JSON nests deeper than DEPTH_MAX. Almost every body has fewer brackets than that."""
    raw = data if isinstance(data, bytes) else data.encode(errors="replace")
    if raw.count(b"{") + raw.count(b"[") <= DEPTH_MAX:
        return False
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH_MAX


def is_deep_value(value: Any) -> bool:
    """The same of a value."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            below
            for each in level
            for below in (each.values() if isinstance(each, dict) else each)
            if isinstance(below, dict | list)
        ]
        if not level:
            return False
    return True


def decode_body(data: bytes) -> Any:
    """As `decode`, of what a client sent: no deeper than whatever looks at it later can follow."""
    if is_deep(data):
        raise ValueError(_TOO_DEEP)
    return decode(data)


def decode_strict(data: bytes) -> tuple[Any, list[str]]:
    """As `decode_body`, with the paths of fields that came twice, in order; raises ValueError with syntax_problem's message."""
    if is_deep(data):
        raise ValueError(_TOO_DEEP)
    try:
        value, text = _read(data)
    except ValueError:
        raise ValueError(syntax_problem(data)) from None
    # Most clients send exactly what we would: then nothing can have been dropped, and the slow look is spared.
    if encode(value) == data.strip():
        return value, []
    return value, list(duplicates(text))


def duplicates(data: bytes | str) -> Iterator[str]:
    """The paths (`metadata.labels.app`, `spec.containers[0].name`) of fields that came twice."""
    repeated: dict[int, list[str]] = {}
    keep: list[Any] = []  # so that no id is given away twice

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            seen: set[str] = set()
            again = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
            repeated[id(fields)] = list(dict.fromkeys(again))
            keep.append(fields)
        return fields

    value = json.loads(data, object_pairs_hook=collect)
    return _paths(value, "", repeated) if repeated else iter(())


def _paths(value: Any, path: str, repeated: dict[int, list[str]]) -> Iterator[str]:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        yield from (prefix + name for name in repeated.get(id(value), ()))
        for name, child in value.items():
            yield from _paths(child, prefix + name, repeated)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _paths(child, f"{path}[{index}]", repeated)


def kind_of(value: Any) -> str:
    """The JSON type of a value in Go's words."""
    if isinstance(value, bool):
        return "bool"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "number"


def syntax_problem(data: bytes) -> str:
    """Why `data` is no JSON, in the words of Go's encoding/json, which API clients look for."""
    if is_deep(data):
        return _TOO_DEEP
    try:
        json.loads(data.decode(errors="replace"), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _in_go_words(error)
    except RecursionError:
        return "exceeded max depth"
    except ValueError:
        pass  # an integer of more digits than Python reads
    return "invalid number"


def _refuse(word: str) -> Any:
    raise json.JSONDecodeError("Expecting value", word, 0)


def _in_go_words(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos :].lstrip(" \t\r\n")
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma, Go at what follows it
        rest = rest[1:].lstrip(" \t\r\n")
    if not rest or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    where = {
        "Expecting value": "looking for beginning of value",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        "Illegal trailing comma before end of object": "looking for beginning of object key string",
        "Illegal trailing comma before end of array": "looking for beginning of value",
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after object key:value pair",
        "Extra data": "after top-level value",
        "Invalid control character at": "in string literal",
        "Invalid \\escape": "in string escape code",
    }
    text = next((words for start, words in where.items() if error.msg.startswith(start)), "in literal")
    if error.msg.startswith("Expecting ',' delimiter") and _is_in_array(error.doc[: error.pos]):
        text = "after array element"
    return f"invalid character {_quoted(rest[0])} {text}"


def _is_in_array(text: str) -> bool:
    """Whether the innermost bracket still open at the end of `text` is that of an array."""
    depth: list[str] = []
    quoted = escaped = False
    for letter in text:
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "[{":
            depth.append(letter)
        elif letter in "]}" and depth:
            depth.pop()
    return bool(depth) and depth[-1] == "["


def _quoted(letter: str) -> str:
    if letter == "'":
        return "'\\''"
    if letter.isprintable():
        return f"'{letter}'"
    return {"\n": "'\\n'", "\t": "'\\t'", "\r": "'\\r'"}.get(letter, f"'\\u{ord(letter):04x}'")
