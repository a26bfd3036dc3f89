"""Variables of a Dockerfile: `$x`, `${x}`, `${x:-default}`, `${x:+alternative}`, `${x:?message}`, escapes and quotes. Pure.

Source: "Environment replacement" of Docker's Dockerfile reference. A name without a value becomes empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableError(ValueError):
    """A `${` or a quote that does not end, or a modifier that does not exist."""


def words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Split at white space outside quotes, expanded, quotes removed. What a variable holds is not split again."""
    return _scan(text, values, escape, split=True)


def word(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """As `words`, but white space is part of the one word."""
    return "".join(_scan(text, values, escape, split=False))


def document(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """A here-document: quotes are ordinary characters, the escape character quotes `$` and itself."""
    out, place = [], 0
    while place < len(text):
        character = text[place]
        if character == escape and text[place + 1 : place + 2] in ("$", escape):
            out.append(text[place + 1])
            place += 2
        elif character == "$":
            value, place = _variable(text, place + 1, values, escape)
            out.append(value)
        else:
            out.append(character)
            place += 1
    return "".join(out)


def assignments(text: str, values: Mapping[str, str], escape: str = "\\") -> dict[str, str]:
    """`A=1 B="x y"`, or the old form `A the rest of the line`. Raises VariableError."""
    first = text.split(None, 1)[0]
    if "=" not in first:
        rest = text[len(first) :].strip()
        if not rest:
            raise VariableError(f"{text!r}: must be NAME=VALUE")
        return {first: word(rest, values, escape)}
    found: dict[str, str] = {}
    for each in words(text, values, escape):
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise VariableError(f"{each!r}: must be NAME=VALUE")
        found[name] = value
    return found


def _scan(text: str, values: Mapping[str, str], escape: str, *, split: bool) -> list[str]:
    found: list[str] = []
    current: list[str] | None = None
    quote, place = "", 0
    while place < len(text):
        character = text[place]
        if split and character.isspace() and not quote:
            found += [] if current is None else ["".join(current)]
            current, place = None, place + 1
            continue
        current = [] if current is None else current
        if character == escape and quote != "'" and place + 1 < len(text):
            # Between double quotes it only quotes what would be special there.
            special = not quote or text[place + 1] in ('"', "$", escape)
            current.append(text[place + 1] if special else text[place : place + 2])
            place += 2
        elif character in "\"'" and quote in ("", character):
            quote = "" if quote else character
            place += 1
        elif character == "$" and quote != "'":
            value, place = _variable(text, place + 1, values, escape)
            current.append(value)
        else:
            current.append(character)
            place += 1
    if quote:
        raise VariableError(f"{quote} in {text!r} is not closed")
    return found if current is None else [*found, "".join(current)]


def _variable(text: str, place: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    """The value of the variable whose `$` is before `place`, and where the text goes on."""
    if text.startswith("{", place):
        return _braced(text, place + 1, values, escape)
    match = _NAME.match(text, place)
    if match is None:
        return "$", place
    return values.get(match[0], ""), match.end()


def _braced(text: str, place: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    match, end = _NAME.match(text, place), _closing(text, place)
    if match is None or match.end() > end:
        raise VariableError(f"bad variable in {text!r}: a name must follow ${{")
    value, modifier = values.get(match[0]), text[match.end() : end]
    if not modifier:
        return value or "", end + 1
    colon = modifier.startswith(":")
    kind, rest = modifier[colon : colon + 1], modifier[colon + 1 :]
    there = bool(value) if colon else value is not None
    if kind == "-":
        return (value or "") if there else word(rest, values, escape), end + 1
    if kind == "+":
        return word(rest, values, escape) if there else "", end + 1
    if kind == "?":
        if not there:
            raise VariableError(f"{match[0]}: {word(rest, values, escape) or 'is not set'}")
        return value or "", end + 1
    raise VariableError(f"bad modifier {modifier!r} in {text!r}: use :-, :+ or :?")


def _closing(text: str, place: int) -> int:
    """Where the `}` is that belongs to the `{` before `place`."""
    depth, position = 1, place
    while position < len(text):
        if text.startswith("${", position):
            depth, position = depth + 1, position + 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise VariableError(f"${{ in {text!r} is not closed")
