"""Which file a container begins with: found as the container would find it, by its PATH and by what is promised to it.

Before the filter is there, so nobody answers yet. What it executes afterwards is programs.py's.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.reach import LINKS_MAX, LeadsElsewhereError, real_path
from wherry.launcher.protocol import LauncherError

HEAD_BYTES = 256
"""Of a script: as many the kernel looks at for its `#!` line (BINPRM_BUF_SIZE)."""


class Program(NamedTuple):
    """`name` as the container names it, and the real file."""

    name: str
    real: str


def find_program(name: str, env: dict[str, str], guest: Guest) -> Program:
    """What to execute. Raises LauncherError(StartError)."""
    candidates = [name] if "/" in name else [f"{each or '.'}/{name}" for each in env.get("PATH", "").split(":")]
    denied, text = False, "executable file not found in $PATH"
    for candidate in candidates:
        real = os.fsdecode(locate(os.fsencode(candidate), guest))
        if os.path.isdir(real):
            text = "is a directory" if "/" in name else text
        elif os.access(real, os.X_OK):
            return Program(candidate, real)
        elif os.path.exists(real):
            denied = True
        elif "/" in name:
            text = f"stat {name}: no such file or directory"
    raise LauncherError("StartError", f'exec: "{name}": {"permission denied" if denied else text}')


def locate(path: bytes, guest: Guest) -> bytes:
    """Where a path that the container names really is, at the end of all links; a relative one is looked for from here."""
    if not path.startswith(b"/"):
        return path
    for _ in range(LINKS_MAX):
        found = guest.find(path, changes=False)
        if found is None:
            break
        try:
            with found.path(follow=True) as fd:
                return real_path(fd)
        except LeadsElsewhereError as elsewhere:
            path = elsewhere.path
        except OSError:  # whoever uses it is told
            return found.real
    return path


def words_of_script(program: Program, guest: Guest) -> tuple[str, list[str]]:
    """Of a script that is promised, or whose `#!` names something promised: the real interpreter, and the words to execute
    instead, as the container names them. The kernel would not find it, or tell the script a name that it is not known by.
    Empty for all else."""
    try:
        with open(program.real, "rb") as file:
            words = shebang(file.read(HEAD_BYTES))
    except OSError:
        return "", []
    real = locate(words[0], guest) if words else b""
    if not words or (real == words[0] and program.real == program.name):
        return "", []
    return os.fsdecode(real), [*map(os.fsdecode, words), program.name]


def shebang(head: bytes) -> list[bytes]:
    """The words of a `#!` line; none for a program."""
    first = head.split(b"\n", 1)[0]
    return [word.strip() for word in first[2:].split(None, 1)] if first.startswith(b"#!") else []
