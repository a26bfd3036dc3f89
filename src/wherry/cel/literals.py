"""What a literal in an expression means: numbers within their ranges, strings and bytes without their escapes."""

from __future__ import annotations

import re
from typing import Any, Final

from wherry.cel.tokens import Token
from wherry.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint

_SIMPLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}
_ESCAPE: Final = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL | re.ASCII
)
_DIGITS_MAX: Final = 400
"""Of a number; more digits say nothing a double or an int64 could hold, and Python's conversion is quadratic."""


class BadLiteral(ValueError):
    """The text of the message is cel-go's."""


def number(token: Token, sign: str = "") -> Any:
    """int, Uint or float of a token, with the sign that stands before it."""
    if token.kind == "float":
        if len(token.text) > _DIGITS_MAX:
            raise BadLiteral("invalid double literal")
        return float(sign + token.text)
    text = token.text.rstrip("uU") if token.kind == "uint" else token.text
    value = int(text, 16 if text[:2] == "0x" else 10) if len(text) <= _DIGITS_MAX else UINT_MAX + 1
    if token.kind == "uint":
        if value > UINT_MAX:
            raise BadLiteral("invalid uint literal")
        return Uint(value)
    value = -value if sign else value
    if not INT_MIN <= value <= INT_MAX:
        raise BadLiteral("invalid int literal")
    return value


def string(text: str) -> str:
    """The characters between the quotes of a string literal."""
    (raw, body) = _body(text)
    return body if raw or "\\" not in body else _ESCAPE.sub(lambda match: _character(match, codes=True), body)


def bytes_literal(text: str) -> bytes:
    """The bytes of a bytes literal: characters are UTF-8, `\\x` and octal escapes are single bytes."""
    (raw, body) = _body(text[1:])
    if raw or "\\" not in body:
        return body.encode("utf-8", "surrogatepass")
    found = bytearray()
    position = 0
    for match in _ESCAPE.finditer(body):
        found += body[position : match.start()].encode("utf-8", "surrogatepass")
        if match[1] or match[4]:
            found.append(int(match[1], 16) if match[1] else int(match[4], 8))
        elif match[2] or match[3]:
            raise BadLiteral("unable to unescape string")
        else:
            found += _character(match, codes=False).encode()
        position = match.end()
    return bytes(found + body[position:].encode("utf-8", "surrogatepass"))


def _body(text: str) -> tuple[bool, str]:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    quotes = 3 if text[:3] in ('"""', "'''") else 1
    return raw, text[quotes:-quotes].replace("\r\n", "\n").replace("\r", "\n") if quotes == 3 else text[1:-1]


def _character(match: re.Match[str], *, codes: bool) -> str:
    (two, four, eight, octal, simple) = match.groups()
    if simple is not None:
        if simple not in _SIMPLE:
            raise BadLiteral("unable to unescape string")
        return _SIMPLE[simple]
    assert codes
    code = int(octal, 8) if octal else int(two or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise BadLiteral("unable to unescape string")
    return chr(code)
