"""Go's regular expressions (RE2) in schemas: what RE2 has not is refused, in the words of Go's regexp/syntax.

Always true: a search takes time bounded by the text's length. Python's expressions, a tenth as dear to call, backtrack; they
are asked only where that cannot last (what of the syntax differs is translated), RE2 itself wherever it could.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from wherry.api.linear_patterns import linear

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7F", "blank": "\\t ", "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
REPEAT_MAX = 1000
"""As in RE2."""
_REPEAT = re.compile(r"\{(\d+),?(\d*)\}")
_NOT_IN_RE2 = re.compile(r"\(\?(?:=|!|<=|<!|#|\()|\(\?P=")


class PatternError(ValueError):
    """The message is Go's: error parsing regexp: missing closing ): `(`"""


STEPS_MAX = 100_000
"""What Python's expressions may take in the worst case: a millisecond or two."""
_REPEATED = re.compile(r"\)[*+{]")
_MANY = re.compile(r"[*+{]")


class Pattern:
    """One that was compiled."""

    def __init__(self, pattern: str, translated: re.Pattern[str]) -> None:
        self._text = pattern
        self._python = translated
        self._linear: Any = None
        # Each repetition may begin and end anywhere in the text, a repeated group also divide it in any way.
        self._power = None if _REPEATED.search(pattern) else 1 + len(_MANY.findall(pattern))

    def occurs_in(self, text: str) -> bool:
        """Raises PatternError."""
        if self._power is not None and len(text) ** self._power <= STEPS_MAX:
            return self._python.search(text) is not None
        if self._linear is None:
            try:
                self._linear = linear(self._text)
            except ValueError as error:
                raise PatternError(f"error parsing regexp: {error}") from None
        return self._linear.search(text) is not None


@lru_cache(maxsize=4096)  # as many patterns as schemas have; compiled ones are small
def compile_pattern(pattern: str) -> Pattern:
    """A pattern to be searched for. Raises PatternError."""
    found = _NOT_IN_RE2.search(pattern)
    if found is not None:
        raise PatternError(f"error parsing regexp: invalid or unsupported Perl syntax: `{found[0]}`")
    for repeat in _REPEAT.finditer(pattern):
        if any(int(bound) > REPEAT_MAX for bound in repeat.groups() if bound):
            raise PatternError(f"error parsing regexp: invalid repeat count: `{repeat[0]}`")
    try:
        return Pattern(pattern, re.compile(_translate(pattern), re.ASCII))
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"error parsing regexp: {_go_text(str(error), pattern)}") from None


def _translate(pattern: str) -> str:
    r"""Python's spelling: \z is \Z, $ only at the very end, POSIX classes, \Q...\E."""
    out: list[str] = []
    index, in_class = 0, False
    while index < len(pattern):
        two = pattern[index : index + 2]
        if two == "\\Q" and not in_class:
            end = pattern.find("\\E", index)
            literal = pattern[index + 2 : end if end >= 0 else len(pattern)]
            out.append(re.escape(literal))
            index = end + 2 if end >= 0 else len(pattern)
        elif two == "\\z":
            out.append("\\Z")
            index += 2
        elif two[0] == "\\":
            out.append(two)
            index += 2
        elif in_class and two == "[:" and (end := pattern.find(":]", index)) > 0:
            name = pattern[index + 2 : end]
            if name not in _POSIX:
                raise PatternError(f"error parsing regexp: invalid character class range: `{pattern[index : end + 2]}`")
            out.append(_POSIX[name])
            index = end + 2
        else:
            character = two[0]
            if character == "[" and not in_class:
                in_class = True
                following = pattern[index + 1 : index + 3]
                if following[:1] == "]" or following == "^]":  # a bracket that comes first is a literal
                    out.append(pattern[index : index + following.index("]") + 1] + "\\")
                    index += following.index("]") + 1
                    continue
            elif character == "[":
                out.append("\\")
            elif character == "]":
                in_class = False
            out.append("\\Z" if character == "$" and not in_class else character)
            index += 1
    return "".join(out)


def _go_text(problem: str, pattern: str) -> str:
    if "unterminated subpattern" in problem:
        return f"missing closing ): `{pattern}`"
    if "unbalanced parenthesis" in problem:
        return f"unexpected ): `{pattern}`"
    if "unterminated character set" in problem:
        return f"missing closing ]: `{pattern[pattern.rfind('[') :]}`"
    if "nothing to repeat" in problem:
        position = int(problem.rpartition(" ")[2]) if problem.rpartition(" ")[2].isdigit() else 0
        return f"missing argument to repetition operator: `{pattern[position : position + 1]}`"
    if "multiple repeat" in problem:
        return f"invalid nested repetition operator: `{pattern[-2:]}`"
    if "bad character range" in problem:
        return f"invalid character class range: `{problem.split('range ')[1].split(' at')[0]}`"
    if "bad escape (end of pattern)" in problem:
        return "trailing backslash at end of expression: ``"
    if "bad escape" in problem:
        return f"invalid escape sequence: `{problem.split('escape ')[1].split(' at')[0]}`"
    return f"invalid or unsupported Perl syntax: `{pattern}`"
