"""The grammar of a selector's text form, with the messages Kubernetes gives where it is broken.

    selector     = [ requirement { "," requirement } ]
    requirement  = [ "!" ] key | key ( "=" | "==" | "!=" | ">" | "<" ) value | key ( "in" | "notin" ) "(" values ")"

`in` and `notin` are words like any other where a key or a value is expected.
"""

from __future__ import annotations

import re
from typing import Final

from wherry.api import names
from wherry.api.label_requirement import Requirement

_TOKEN: Final = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
_SYMBOLS: Final = frozenset({"==", "!=", "=", "!", "<", ">", "(", ")", ",", ""})
_OPERATORS: Final = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}
_END: Final = ""


class SelectorError(ValueError):
    """The text or object is no selector; the message is Kubernetes'."""


def parse(text: str) -> list[Requirement]:
    """Raises SelectorError."""
    return _Parser(text).selector()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [match[1] for match in _TOKEN.finditer(text)] + [_END]
        self._position = 0

    def _peek(self) -> str:
        return self._tokens[self._position]

    def _next(self) -> str:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token

    def selector(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek() != _END:
            if _is_word(self._peek()) or self._peek() == "!":
                try:
                    found.append(self._requirement())
                except SelectorError as error:
                    raise SelectorError(f"unable to parse requirement: {error}") from None
            else:
                raise SelectorError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            after = self._next()
            if after == _END:
                break
            if after != ",":
                raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
            if not (_is_word(self._peek()) or self._peek() == "!"):
                raise SelectorError(f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._word("identifier")
        if messages := names.qualified_name(key):
            raise SelectorError(f'<nil>: Invalid value: "{key}": {"; ".join(messages)}')
        if negated or self._peek() in (_END, ","):
            return Requirement(key, "!" if negated else "exists")
        token = self._next()
        operator = _OPERATORS.get(token)
        if operator is None:
            raise SelectorError(f"found '{token}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else [self._exact_value()]
        requirement = Requirement(key, operator, tuple(sorted(set(values))))
        if problem := requirement.problem():
            raise SelectorError(problem)
        return requirement

    def _exact_value(self) -> str:
        return "" if self._peek() in (_END, ",") else self._word("identifier")

    def _values(self) -> list[str]:
        """Between parentheses; nothing between two commas is the empty value."""
        if (token := self._next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        if self._peek() == ")":
            self._next()
            return [""]
        values: list[str] = []
        while True:
            symbol = self._peek()
            if _is_word(symbol):
                values.append(self._next())
            elif symbol in (",", ")"):
                values.append("")
            else:
                raise SelectorError(f"found '{symbol}', expected: ',', ')' or identifier")
            symbol = self._next()
            if symbol == ")":
                return values
            if symbol != ",":
                raise SelectorError(f"found '{symbol}', expected: ',' or ')'")

    def _word(self, expected: str) -> str:
        token = self._next()
        if not _is_word(token):
            raise SelectorError(f"found '{token}', expected: {expected}")
        return token


def _is_word(token: str) -> bool:
    return token not in _SYMBOLS
