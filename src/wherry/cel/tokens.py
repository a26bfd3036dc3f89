"""From text to tokens. The patterns are linear in the text; no token is longer than the expression may be.

Source: the grammar of cel-spec (doc/langdef.md, "Syntax").
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wherry.cel.errors import ISSUES_MAX, LINE_MAX, Issue

EXPRESSION_MAX: Final = 100_000
"""Code points of an expression, as cel-go has it."""

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>[\ \t\r\n\f]+|//[^\n]*)
    | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    | (?P<uint>0x[0-9a-fA-F]+[uU]|\d+[uU])
    | (?P<int>0x[0-9a-fA-F]+|\d+)
    | (?P<bytes>[bB](?:
          [rR](?:\"\"\"(?:[^"]|"(?!\"\"))*\"\"\"|'''(?:[^']|'(?!''))*'''|"[^"\n\r]*"|'[^'\n\r]*')
        | \"\"\"(?:[^"\\]|\\.|"(?!\"\"))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''
        | "(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*'))
    | (?P<string>
          [rR](?:\"\"\"(?:[^"]|"(?!\"\"))*\"\"\"|'''(?:[^']|'(?!''))*'''|"[^"\n\r]*"|'[^'\n\r]*')
        | \"\"\"(?:[^"\\]|\\.|"(?!\"\"))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''
        | "(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
    | (?P<mark>==|!=|<=|>=|&&|\|\||[<>\[\](){}.,\-!?:+*/%])
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_WORDS: Final = frozenset(("in", "true", "false", "null"))


class Token(NamedTuple):
    """`kind` is float, uint, int, bytes, string, ident, end, or the mark or word itself."""

    kind: str
    text: str
    position: int

    @property
    def shown(self) -> str:
        return f"'{self.text}'" if self.kind != "end" else "'<EOF>'"


def tokens(text: str) -> tuple[list[Token], list[Issue]]:
    """All tokens with an `end` after them, and what is no token, which is left out."""
    found: list[Token] = []
    issues: list[Issue] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            wrong = _unreadable(text, position)
            if len(issues) < ISSUES_MAX:
                text_shown = _shown(wrong[:LINE_MAX])
                issues.append(Issue(position, f"Syntax error: token recognition error at: '{text_shown}'"))
            position += len(wrong)
            continue
        kind = match.lastgroup or ""
        if kind != "skip":
            word = match[0]
            if kind == "mark" or word in _WORDS:
                kind = word
            found.append(Token(kind, word, position))
        position = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found, issues


def _shown(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _unreadable(text: str, position: int) -> str:
    """How much is left out: a string that does not end, with the end of its line; half an operator with what follows; else one
    character. So cel-go's lexer does."""
    letter = text[position]
    if letter in "\"'":
        end = text.find("\n", position)
        return text[position : end + 1 if end >= 0 else len(text)]
    return text[position : position + 2] if letter in "=&|" else letter
