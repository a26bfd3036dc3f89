"""Which file a container begins with: found as the container would find it, by its PATH and by what is promised to it.

Before the filter is there, so nobody answers yet. What it executes afterwards is programs.py's.
"""

from __future__ import annotations

import os

from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths
from wherry.launcher.protocol import LauncherError

HEAD_BYTES = 256
"""Of a script: as many the kernel looks at for its `#!` line (BINPRM_BUF_SIZE)."""


def find_program(name: str, env: dict[str, str], paths: Paths, overlay: Overlay | None) -> str:
    """The real file to execute. Raises LauncherError(StartError)."""
    candidates = [name] if "/" in name else [f"{each or '.'}/{name}" for each in env.get("PATH", "").split(":")]
    denied, text = False, "executable file not found in $PATH"
    for candidate in candidates:
        real = os.fsdecode(locate(os.fsencode(candidate), paths, overlay))
        if os.path.isdir(real):
            text = "is a directory" if "/" in name else text
        elif os.access(real, os.X_OK):
            return real
        elif os.path.exists(real):
            denied = True
        elif "/" in name:
            text = f"stat {name}: no such file or directory"
    raise LauncherError("StartError", f'exec: "{name}": {"permission denied" if denied else text}')


def locate(path: bytes, paths: Paths, overlay: Overlay | None) -> bytes:
    """Where a path that the container names really is; a relative one is looked for from where we are."""
    if not path.startswith(b"/"):
        return path
    found = paths.find(path)
    if found is not None:
        return found[0]
    return (overlay.find(path, changes=False) if overlay else None) or path


def words_of_script(program: str, paths: Paths, overlay: Overlay | None) -> list[str]:
    """Of a script whose `#!` names something promised: the words to execute instead. The kernel would not find it."""
    try:
        with open(program, "rb") as file:
            words = shebang(file.read(HEAD_BYTES))
    except OSError:
        return []
    real = locate(words[0], paths, overlay) if words else b""
    if not words or real == words[0]:
        return []
    return [os.fsdecode(real), *map(os.fsdecode, words[1:])]


def shebang(head: bytes) -> list[bytes]:
    """The words of a `#!` line; none for a program."""
    first = head.split(b"\n", 1)[0]
    return [word.strip() for word in first[2:].split(None, 1)] if first.startswith(b"#!") else []
