"""The build context: which of its files an instruction may see, and what their content is.

Links are followed inside the context only, as if its folder were the root; nothing outside is ever read.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from wherry.builder.ignore import IgnoreError, IgnoreRules, expression
from wherry.builder.view import ROOT, View
from wherry.images.rootfs import RootFS


class ContextError(Exception):
    """A source is not there, or lies outside; the text says which and what to do."""


class BuildContext:
    """Relative POSIX paths name what is in it; `""` is the folder itself."""

    def __init__(self, folder: Path, ignored: IgnoreRules | None = None) -> None:
        self.folder = folder
        self._ignored = ignored or IgnoreRules()
        self._view = View(RootFS((folder,)))

    @classmethod
    def load(cls, folder: Path, dockerfile: Path) -> BuildContext:
        """`NAME.dockerignore` beside the Dockerfile, else `.dockerignore` in the folder. Raises ContextError."""
        for file in (dockerfile.with_name(dockerfile.name + ".dockerignore"), folder / ".dockerignore"):
            if file.is_file():
                try:
                    return cls(folder, IgnoreRules(file.read_text(), str(file)))
                except IgnoreError as error:
                    raise ContextError(str(error)) from None
                except (OSError, UnicodeDecodeError) as error:
                    raise ContextError(f"{file}: {error}") from None
        return cls(folder)

    def sources(self, pattern: str) -> list[str]:
        """What one source of COPY names, sorted. Raises ContextError."""
        clean = posixpath.normpath(pattern.lstrip("/") or ".")
        if clean.startswith("../") or clean == "..":
            raise ContextError(f"{pattern!r} lies outside the build context {self.folder}")
        if clean == ".":
            return [""]
        found = self._matching(clean) if re.search(r"[*?\[\\]", clean) else [clean]
        found = [path for path in found if self._visible(path)]
        if not found:
            raise ContextError(f"{pattern!r} is not in the build context {self.folder}, or .dockerignore leaves it out")
        return found

    def real(self, source: str) -> Path:
        """Where a source's content lies, links followed."""
        return self.folder / self._view.resolve(ROOT / source).relative_to(ROOT)

    def walk(self, source: str) -> Iterator[tuple[str, Path]]:
        """(path relative to `source`, file) below a directory, parents first; ignored ones left out."""
        folder = self._view.resolve(ROOT / source).relative_to(ROOT)
        yield from self._walk(self.folder / folder, "" if folder == PurePosixPath() else str(folder), "")

    def digest(self, sources: Iterable[str]) -> str:
        """Names, modes and content of everything the sources name: what decides whether a COPY must be done again."""
        total = hashlib.sha256()
        for source in sources:
            path = self.real(source)
            for name, file in [("", path), *(self.walk(source) if path.is_dir() else ())]:
                total.update(f"{source}\0{name}\0{_fingerprint(file)}\0".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    def _matching(self, pattern: str) -> list[str]:
        matches = re.compile(expression(pattern), re.DOTALL).fullmatch
        return [path for path, _ in self._walk(self.folder, "", "") if matches(path)]

    def _visible(self, path: str) -> bool:
        """It is there and not ignored, or it is an ignored directory that may hold exceptions."""
        real = self.real(path)
        if not os.path.lexists(real):
            return False
        target = str(real.relative_to(self.folder))
        ignored = self._ignored(path) or (target != "." and self._ignored(target))
        return not ignored or (self._ignored.has_exceptions and real.is_dir())

    def _walk(self, folder: Path, source: str, below: str) -> Iterator[tuple[str, Path]]:
        for entry in sorted(os.scandir(folder), key=lambda item: item.name):
            relative = f"{below}{entry.name}"
            ignored = self._ignored(f"{source}/{relative}" if source else relative)
            is_directory = entry.is_dir(follow_symlinks=False)
            if ignored and not (is_directory and self._ignored.has_exceptions):
                continue
            if not ignored:
                yield relative, Path(entry.path)
            if is_directory:
                yield from self._walk(Path(entry.path), source, f"{relative}/")


_known: dict[tuple[str, int, int, int], str] = {}
_KNOWN_MAX = 100_000  # files of one process's builds; then it begins anew


def _fingerprint(file: Path) -> str:
    """Type, permissions and content. A regular file's is remembered by inode, size and time of change."""
    status = file.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(file)}"
    if not stat.S_ISREG(status.st_mode):
        return f"{stat.S_IFMT(status.st_mode)} {mode}"
    key = (str(file), status.st_ino, status.st_size, status.st_ctime_ns)
    if key not in _known:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        with file.open("rb") as content:
            _known[key] = hashlib.file_digest(content, "sha256").hexdigest()
    return f"file {mode} {_known[key]}"
