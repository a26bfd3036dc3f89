"""The build context: which of its files an instruction may see (.dockerignore), and what their content is.

Patterns are Docker's: Go's filepath.Match plus `**`, `!` for exceptions, the last that matches wins.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


class ContextError(Exception):
    """A source is not there, or lies outside; the text says which and what to do."""


class BuildContext:
    """Relative POSIX paths name what is in it; nothing outside its folder is ever read."""

    def __init__(self, folder: Path, ignore: str = "") -> None:
        self.folder = folder
        self._rules = [_rule(line.strip()) for line in ignore.splitlines() if line.strip() and line.strip()[0] != "#"]
        self._exceptions = any(keep for keep, _ in self._rules)

    @classmethod
    def load(cls, folder: Path, dockerfile: Path) -> BuildContext:
        """`NAME.dockerignore` beside the Dockerfile, else `.dockerignore` in the folder."""
        for file in (dockerfile.with_name(dockerfile.name + ".dockerignore"), folder / ".dockerignore"):
            if file.is_file():
                return cls(folder, file.read_text())
        return cls(folder)

    def ignored(self, path: str) -> bool:
        """By the last rule that matches it or a directory it is in."""
        verdict = False
        for keep, pattern in self._rules:
            if pattern.fullmatch(path):
                verdict = not keep
        return verdict

    def sources(self, pattern: str) -> list[str]:
        """What one source of COPY names, sorted; `""` is the context itself. Raises ContextError."""
        clean = str(PurePosixPath("/", pattern)).lstrip("/")
        parts = PurePosixPath(os.path.normpath(clean or ".")).parts
        if ".." in parts:
            raise ContextError(f"{pattern!r} lies outside the build context {self.folder}")
        clean = "/".join(parts)
        if clean in ("", "."):
            return [""]
        if any(character in clean for character in "*?["):
            found = sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(clean))
        else:
            found = [clean] if (self.folder / clean).exists() or (self.folder / clean).is_symlink() else []
        found = [path for path in found if not self.ignored(path) or self._below(path)]
        if not found:
            raise ContextError(f"{pattern!r} is not in the build context {self.folder}, or .dockerignore leaves it out")
        for path in found:
            self._check_inside(path)
        return found

    def walk(self, source: str) -> Iterator[tuple[str, Path]]:
        """(path relative to `source`, file) below a directory, parents first; ignored ones left out."""
        yield from self._walk(self.folder / source, source, "")

    def digest(self, sources: list[str]) -> str:
        """Names, modes and content of everything the sources name: what decides whether a COPY must be done again."""
        total = hashlib.sha256()
        for source in sources:
            path = self.folder / source
            entries = [("", path), *(self.walk(source) if path.is_dir() and not path.is_symlink() else ())]
            for name, file in entries:
                total.update(f"{source}\0{name}\0{_fingerprint(file)}\0".encode())
        return total.hexdigest()

    def _walk(self, folder: Path, source: str, below: str) -> Iterator[tuple[str, Path]]:
        for entry in sorted(os.scandir(folder), key=lambda item: item.name):
            relative = f"{below}{entry.name}"
            whole = f"{source}/{relative}" if source else relative
            ignored = self.ignored(whole)
            is_directory = entry.is_dir(follow_symlinks=False)
            if ignored and not (is_directory and self._exceptions):
                continue
            if not ignored:
                yield relative, Path(entry.path)
            if is_directory:
                yield from self._walk(Path(entry.path), source, f"{relative}/")

    def _below(self, path: str) -> bool:
        return self._exceptions and (self.folder / path).is_dir()

    def _check_inside(self, path: str) -> None:
        real = (self.folder / path).parent.resolve()
        if not real.is_relative_to(self.folder.resolve()):
            raise ContextError(f"{path!r} goes through a link that leaves the build context {self.folder}")


def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
    keep = line.startswith("!")
    pattern = os.path.normpath(line[keep:].strip().lstrip("/")).rstrip("/")
    return keep, re.compile(_expression(pattern) + r"(?:/.*)?")


def _expression(pattern: str) -> str:
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
        elif character == "[" and "]" in pattern[place + 1 :]:
            end = pattern.index("]", place + 1)
            out, place = out + "[" + pattern[place + 1 : end].replace("\\", r"\\") + "]", end + 1
        else:
            out, place = out + re.escape(character), place + 1
    return out


_known: dict[tuple[str, int, int, int], str] = {}


def _fingerprint(file: Path) -> str:
    """Type, permissions and content. A regular file's is remembered by inode, size and time of change."""
    status = file.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(file)}"
    if not stat.S_ISREG(status.st_mode):
        return f"{stat.S_IFMT(status.st_mode)} {mode}"
    key = (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _known:
        _known[key] = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"file {mode} {_known[key]}"
