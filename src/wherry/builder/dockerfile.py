"""Dockerfile to instructions: lexing only, no meaning. Pure.

Rule 1: everything about the text lives here: parser directives, continuation, comments, heredocs, flags, JSON form.
Rule 2: variables are expanded by `variables.py` when an instruction is carried out, because ARG and ENV change them.
Source: the Dockerfile reference of Docker's documentation.
"""

from __future__ import annotations

import json
import re

from msgspec import Struct, field
from msgspec.structs import replace

KNOWN = frozenset((
    "FROM", "ARG", "ENV", "WORKDIR", "COPY", "ADD", "RUN", "USER", "EXPOSE", "LABEL", "ENTRYPOINT", "CMD", "HEALTHCHECK",
    "VOLUME", "SHELL", "STOPSIGNAL",
))  # fmt: skip
REFUSED = {
    "ONBUILD": "write the instruction into the Dockerfiles that build on this image",
    "MAINTAINER": "it is deprecated: use LABEL org.opencontainers.image.authors",
}
JSON_FORM = frozenset(("RUN", "CMD", "ENTRYPOINT", "COPY", "ADD", "VOLUME", "SHELL"))
FLAGS = {
    "FROM": {"platform"},
    "RUN": {"mount", "network", "security"},
    "COPY": {"from", "chown", "chmod", "link"},  # link: layers are independent of what is below them anyway
    "ADD": {"chown", "chmod", "link", "unpack"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
}
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S.*?)\s*$")
_HEREDOC = re.compile(r"(?<!\S)\d*<<(?P<dash>-?)(?P<quote>[\"']?)(?P<name>[\w.]+)(?P=quote)(?!\S)")
_CONTINUED = re.compile(r"(?:^|(?<=[^\\`]))[\\`][ \t]*$")  # an escape character that is not itself escaped
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")


class DockerfileError(Exception):
    """The text names file and line, what is wrong and what to do."""


class Heredoc(Struct, frozen=True):
    """A here-document: `expand` is False for a quoted name."""

    name: str
    content: str
    expand: bool = True


class Instruction(Struct, frozen=True):
    """One instruction; `words` in JSON form, else None. `line` counts from 1."""

    name: str
    text: str
    line: int
    flags: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()
    escape: str = "\\"

    def flag(self, name: str) -> str:
        return next((value for key, value in self.flags if key == name), "")

    @property
    def source(self) -> str:
        """As a person would write it on one line, for progress and errors."""
        flags = "".join(f"--{name}={value} " for name, value in self.flags)
        return f"{self.name} {flags}{self.text}"


class Stage(Struct, frozen=True):
    """From one FROM to the next. `name` is empty when it has none."""

    base: Instruction
    name: str
    instructions: tuple[Instruction, ...] = ()


class Dockerfile(Struct, frozen=True):
    path: str
    arguments: tuple[Instruction, ...]
    """ARG before the first FROM."""
    stages: tuple[Stage, ...]


class _Lines(Struct):
    path: str
    rows: list[str]
    place: int = 0
    escape: str = "\\"
    out: list[Instruction] = field(default_factory=list)

    def fail(self, message: str, line: int | None = None) -> DockerfileError:
        return DockerfileError(f"{self.path}:{line if line is not None else self.place}: {message}")


def parse(text: str, path: str = "Dockerfile") -> Dockerfile:
    """Raises DockerfileError."""
    lines = _Lines(path, text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"))
    _directives(lines)
    while lines.place < len(lines.rows):
        instruction = _next(lines)
        if instruction is not None:
            lines.out.append(instruction)
    return _staged(lines)


def _directives(lines: _Lines) -> None:
    """`# escape=` and `# syntax=` count only before anything else."""
    for row in lines.rows:
        match = _DIRECTIVE.match(row)
        if match is None or match[1].lower() not in ("escape", "syntax", "check"):
            return
        lines.place += 1
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise lines.fail(f"escape={match[2]}: must be \\ or `")
            lines.escape = match[2]


def _next(lines: _Lines) -> Instruction | None:
    """The instruction that begins at the current line; None for an empty line or a comment."""
    start = lines.place + 1
    logical = _logical_line(lines)
    if not logical:
        return None
    first, *others = logical.split(None, 1)
    name, rest = first.upper(), "".join(others)
    if name in REFUSED:
        raise lines.fail(f"{name} is not supported: {REFUSED[name]}", start)
    if name not in KNOWN:
        raise lines.fail(f"unknown instruction: {name}; known are {', '.join(sorted(KNOWN))}", start)
    flags, rest = _flags(lines, name, rest, start)
    heredocs = _heredocs(lines, rest) if name in ("RUN", "COPY", "ADD") else ()
    if not rest:
        raise lines.fail(f"{name} requires at least one argument", start)
    return Instruction(name, rest, start, flags, _json_words(name, rest), heredocs, lines.escape)


def _logical_line(lines: _Lines) -> str:
    """Join continued lines; comments and empty lines between them are dropped."""
    parts: list[str] = []
    while lines.place < len(lines.rows):
        row = lines.rows[lines.place]
        lines.place += 1
        if row.lstrip().startswith("#") or (parts and not row.strip()):
            if parts:
                continue
            return ""
        end = _CONTINUED.search(row)
        if end is not None and row[end.start()] == lines.escape:
            parts.append(row[: end.start()])
            continue
        parts.append(row)
        break
    return "".join(parts).strip()


def _flags(lines: _Lines, name: str, rest: str, start: int) -> tuple[tuple[tuple[str, str], ...], str]:
    flags: list[tuple[str, str]] = []
    allowed = FLAGS.get(name, set())
    while allowed and (match := _FLAG.match(rest)):
        if match[1] not in allowed:
            known = ", ".join(f"--{flag}" for flag in sorted(allowed))
            raise lines.fail(f"unknown flag --{match[1]} for {name}; known are {known}", start)
        flags.append((match[1], match[2] if match[2] is not None else "true"))
        rest = rest[match.end() :]
    return tuple(flags), rest


def _heredocs(lines: _Lines, rest: str) -> tuple[Heredoc, ...]:
    found = []
    for match in _HEREDOC.finditer(rest):
        begin, rows = lines.place, []
        while True:
            if lines.place >= len(lines.rows):
                raise lines.fail(f"heredoc {match['name']} begins here and does not end", begin)
            row = lines.rows[lines.place]
            lines.place += 1
            row = row.lstrip("\t") if match["dash"] else row
            if row == match["name"]:
                break
            rows.append(row + "\n")
        found.append(Heredoc(match["name"], "".join(rows), expand=not match["quote"]))
    return tuple(found)


def _json_words(name: str, rest: str) -> tuple[str, ...] | None:
    """The words of the JSON form; text that only looks like it is the shell form, as with Docker."""
    if name not in JSON_FORM or not rest.startswith("["):
        return None
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    return None


def _staged(lines: _Lines) -> Dockerfile:
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    for instruction in lines.out:
        if instruction.name == "FROM":
            stages.append(_stage(lines, instruction))
        elif stages:
            stages[-1] = replace(stages[-1], instructions=(*stages[-1].instructions, instruction))
        elif instruction.name == "ARG":
            arguments.append(instruction)
        else:
            raise lines.fail(f"{instruction.name} before the first FROM: only ARG may stand there", instruction.line)
    if not stages:
        raise DockerfileError(f"{lines.path}: no FROM; begin with FROM wherry.dev/host:v1 or another image")
    return Dockerfile(lines.path, tuple(arguments), tuple(stages))


def _stage(lines: _Lines, instruction: Instruction) -> Stage:
    words = instruction.text.split()
    if len(words) == 1:
        return Stage(instruction, "")
    if len(words) == 3 and words[1].upper() == "AS":
        if not re.fullmatch(r"[a-z][a-z0-9-_.]*", words[2].lower()):
            raise lines.fail(f"{words[2]!r} is not a stage name: begin with a letter", instruction.line)
        return Stage(replace(instruction, text=words[0]), words[2].lower())
    raise lines.fail(
        f"FROM requires either one argument, or three: FROM <source> [AS <name>], not {instruction.text!r}",
        instruction.line,
    )
