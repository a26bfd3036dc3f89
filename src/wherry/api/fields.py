"""Field selectors: `metadata.name=cart,status.phase!=Running`.

Only equality exists here. Which fields may be named is each resource's own affair: see Selector.names.
Source: the documented syntax and messages of k8s.io/apimachinery/pkg/fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_TERMS: Final = re.compile(r"((?:\\.|[^,\\])*)(?:,|$)", re.DOTALL)
_TERM: Final = re.compile(r"((?:\\.|[^=!\\]|!(?!=))*)(==|!=|=)(.*)", re.DOTALL)
_SPECIAL: Final = re.compile(r"([\\,=])")
_ESCAPED: Final = re.compile(r"\\([\\,=])")


class FieldSelectorError(ValueError):
    """The text is no field selector; the message is Kubernetes'."""


class Term(Struct, frozen=True):
    field: str
    equal: bool
    value: str

    def __str__(self) -> str:
        escaped = _SPECIAL.sub(r"\\\1", self.value)
        return f"{self.field}{'=' if self.equal else '!='}{escaped}"


class Selector(Struct, frozen=True):
    """All terms must hold."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Raises FieldSelectorError."""
        return cls(tuple(_term(part, text) for part in _split(text) if part))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields it asks for, in order."""
        return tuple(term.field for term in self.terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """A field that is not there has the value ""."""
        return all((fields.get(term.field, "") == term.value) == term.equal for term in self.terms)

    def required(self, field: str) -> str | None:
        """The value this field must have, when the selector pins it: a list of one name can be a get."""
        return next((term.value for term in self.terms if term.equal and term.field == field), None)

    def is_empty(self) -> bool:
        return not self.terms

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


def _split(text: str) -> list[str]:
    return [match[1] for match in _TERMS.finditer(text)]


def _term(part: str, whole: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise FieldSelectorError(f"invalid selector: '{whole}'; can't understand '{part}'")
    value = match[3]
    if "=" in _ESCAPED.sub("", value):
        raise FieldSelectorError(f"invalid field selector: {value}: unescaped = in value")
    return Term(match[1], match[2] != "!=", _ESCAPED.sub(r"\1", value))
