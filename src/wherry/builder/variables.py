"""Variables of a Dockerfile: `$x`, `${x}`, `${x:-default}`, `${x:+alternative}`, escapes and quotes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableError(ValueError):
    """A `${` that does not end, or a modifier that does not exist."""


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """`text` with its variables; a name without a value becomes empty. An escaped `$` stays one. Raises VariableError."""
    out: list[str] = []
    place = 0
    while place < len(text):
        character = text[place]
        if character == escape and place + 1 < len(text):
            if text[place + 1] == "$":
                out.append("$")
            else:
                out.append(text[place : place + 2])
            place += 2
        elif character == "'":
            end = text.find("'", place + 1)
            end = len(text) if end < 0 else end + 1
            out.append(text[place:end])  # single quotes keep what is inside as it is
            place = end
        elif character == "$":
            value, place = _variable(text, place + 1, values, escape)
            out.append(value)
        else:
            out.append(character)
            place += 1
    return "".join(out)


def _variable(text: str, place: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    """The value of the variable whose `$` is before `place`, and where the text goes on."""
    if place < len(text) and text[place] == "{":
        return _braced(text, place + 1, values, escape)
    match = _NAME.match(text, place)
    if match is None:
        return "$", place
    return values.get(match[0], ""), match.end()


def _braced(text: str, place: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    match = _NAME.match(text, place)
    end = _closing(text, place)
    if match is None:
        raise VariableError(f"bad variable in {text!r}: a name must follow ${{")
    value, modifier = values.get(match[0]), text[match.end() : end]
    if not modifier:
        return value or "", end + 1
    colon = modifier.startswith(":")
    kind, word = modifier[colon : colon + 1], modifier[colon + 1 :]
    there = bool(value) if colon else value is not None
    if kind == "-":
        return (value or "") if there else expand(word, values, escape), end + 1
    if kind == "+":
        return expand(word, values, escape) if there else "", end + 1
    if kind == "?":
        if not there:
            raise VariableError(f"{match[0]}: {expand(word, values, escape) or 'is not set'}")
        return value or "", end + 1
    raise VariableError(f"bad modifier {modifier!r} in {text!r}: use :-, :+ or :?")


def _closing(text: str, place: int) -> int:
    depth = 1
    for position in range(place, len(text)):
        if text.startswith("${", position - 1) and position > place:
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    raise VariableError(f"${{ in {text!r} is not closed")


def words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Split at white space outside quotes, expanded, quotes removed: arguments of COPY, ENV, LABEL, EXPOSE."""
    found: list[str] = []
    current: list[str] | None = None
    quote = ""
    place = 0
    while place < len(text):
        character = text[place]
        if character.isspace() and not quote:
            if current is not None:
                found.append("".join(current))
                current = None
            place += 1
            continue
        current = [] if current is None else current
        if character == escape and quote != "'" and place + 1 < len(text):
            current.append(text[place + 1])
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
    if current is not None:
        found.append("".join(current))
    return found


def assignments(text: str, values: Mapping[str, str], escape: str = "\\") -> dict[str, str]:
    """`A=1 B="x y"`, or the old form `A the rest of the line`. Raises VariableError."""
    first = text.split(None, 1)[0]
    if "=" not in first:
        name, _, rest = text.partition(" ")
        if not rest.strip():
            raise VariableError(f"{text!r}: must be NAME=VALUE")
        return {name: expand(rest.strip(), values, escape)}
    found: dict[str, str] = {}
    for word in words(text, values, escape):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise VariableError(f"{word!r}: must be NAME=VALUE")
        found[name] = value
    return found
