""".dockerignore: which paths of a build context are left out. Pure.

Patterns are Go's filepath.Match plus `**`; a path is judged by the last pattern that matches it or a directory it is in;
`!` makes an exception. Source: "Build context, .dockerignore files" of Docker's documentation.
"""

from __future__ import annotations

import posixpath
import re


class IgnoreError(ValueError):
    """A pattern that cannot be read; the text names its line."""


class IgnoreRules:
    """The rules of one file; relative POSIX paths are asked."""

    def __init__(self, text: str = "", name: str = ".dockerignore") -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            keep = pattern.startswith("!")
            clean = posixpath.normpath(pattern[keep:].strip().lstrip("/") or ".")
            if clean == ".":
                continue  # the context itself cannot be left out
            try:
                self._rules.append((keep, re.compile(expression(clean) + r"(?:/.*)?", re.DOTALL)))
            except re.error as error:
                raise IgnoreError(f"{name}:{number}: bad pattern {pattern!r}: {error}") from None
        self.has_exceptions = any(keep for keep, _ in self._rules)
        """An ignored directory may then still hold what is not ignored."""

    def __call__(self, path: str) -> bool:
        """Whether `path` is ignored."""
        verdict = False
        for keep, pattern in self._rules:
            if verdict == keep and pattern.fullmatch(path):
                verdict = not keep
        return verdict


def expression(pattern: str) -> str:
    """The regular expression of a pattern: `*` and `?` stay within a name, `**` crosses directories, `\\` quotes."""
    out, place = "", 0
    while place < len(pattern):
        character = pattern[place]
        if pattern.startswith("**/", place):
            out, place = out + r"(?:.*/)?", place + 3
        elif pattern.startswith("**", place):
            out, place = out + ".*", place + 2
        elif character == "*":
            out, place = out + "[^/]*", place + 1
        elif character == "?":
            out, place = out + "[^/]", place + 1
        elif character == "[" and (end := pattern.find("]", place + 2)) > 0:
            out, place = out + _characters(pattern[place + 1 : end]), end + 1
        elif character == "\\" and place + 1 < len(pattern):
            out, place = out + re.escape(pattern[place + 1]), place + 2
        else:
            out, place = out + re.escape(character), place + 1
    return out


def _characters(inside: str) -> str:
    """A character class: ranges and `^` mean the same in both languages, nothing else is special."""
    negated = inside.startswith("^")
    body = inside[negated:].replace("\\", "\\\\").replace("[", "\\[").replace("&", "\\&").replace("~", "\\~")
    return f"[{'^' if negated else ''}{body.replace('|', chr(92) + '|')}]"
