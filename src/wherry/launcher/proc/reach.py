"""Real files that were promised, reached without following a link that leads out of the promise.

The shim has more rights than a container, and containers make links: to other pods' files, to /proc/self/mem. So the kernel is
told to follow none (openat2(2)), or those that stay beneath the promise; one that leads elsewhere is read, and where it leads
is found as the container would find it. What nobody promised is the caller's to open, with its own rights.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.launcher.proc.paths import normal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_OPENAT2 = 437
AT_FDCWD = -100
_NO_MAGIC, _NO_LINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10  # RESOLVE_NO_MAGICLINKS, _NO_SYMLINKS, …
_NAMELESS = os.O_TMPFILE & ~os.O_DIRECTORY  # __O_TMPFILE, its bit
_KNOWN = 0o37777703  # what openat2 takes; open ignores the rest
_KNOWN_WITH_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LINKS_MAX = 40  # as in the kernel


class LeadsElsewhereError(Exception):
    """A link out of the promise; `path` is where to, as the container names it."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class Found:
    """Something promised: `real` lies at or below `anchor`, which containers cannot replace, and is called `name`."""

    __slots__ = ("anchor", "name", "readonly", "real")

    def __init__(self, name: bytes, real: bytes, anchor: bytes, *, readonly: bool) -> None:
        self.name = name
        self.real = real
        self.anchor = anchor
        self.readonly = readonly

    def open(self, flags: int, mode: int = 0) -> int:
        """A descriptor of ours, close-on-exec. Raises OSError, LeadsElsewhereError."""
        flags |= os.O_CLOEXEC
        try:
            return _openat2(AT_FDCWD, self.real, flags, mode, _NO_LINKS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        found = self._by_links(flags, mode)
        if found >= 0:
            return found
        raise LeadsElsewhereError(self._follow(last=not flags & os.O_NOFOLLOW))

    def _by_links(self, flags: int, mode: int) -> int:
        """By links that do not lead out of the anchor. -1: not to be found by the kernel alone."""
        rest = self.real[len(self.anchor) :].lstrip(b"/")
        if not rest:
            return -1
        try:
            return self._beneath(rest, flags, mode)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ELOOP):
                raise
            return -1

    def _beneath(self, rest: bytes, flags: int, mode: int) -> int:
        anchor = _openat2(AT_FDCWD, self.anchor, os.O_PATH | os.O_CLOEXEC, 0, _NO_LINKS)
        try:
            return _openat2(anchor, rest, flags, mode, _BENEATH | _NO_MAGIC)
        finally:
            os.close(anchor)

    def _follow(self, *, last: bool) -> bytes:
        """The path with its first link replaced by what that says. Raises OSError(ELOOP) when there is none any more."""
        words = [word for word in self.real[len(self.anchor) :].split(b"/") if word]
        number = self._first_link(words, len(words) - (not last))
        if number < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        name = self.name[: len(self.name) - len(self.real) + len(self.anchor)]
        above = b"/".join((name, *words[: number - 1])) if number else os.path.dirname(name)
        try:
            text = os.readlink(b"/".join((self.anchor, *words[:number])))
        except OSError:  # it is another thing by now
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        return normal(b"/".join((text if text.startswith(b"/") else above + b"/" + text, *words[number:])))

    def _first_link(self, words: list[bytes], end: int) -> int:
        """How many of the words lead to it, at most `end`; `end` also where there is none, and below 0.

        Each look halves what is left: one per word of a path that is as long as can be took seconds, and others waited."""
        first = 0
        while first < end:
            middle = (first + end) // 2
            try:
                os.close(without_links(b"/".join((self.anchor, *words[:middle]))))
                first = middle + 1
            except OSError as error:
                first, end = (first, middle) if error.errno == errno.ELOOP else (middle + 1, end)
        return min(first, end)

    @contextmanager
    def path(self, *, follow: bool) -> Iterator[int]:
        """A descriptor that only names it. Raises as `open`."""
        fd = self.open(os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self) -> Iterator[tuple[int, bytes]]:
        """Its directory, and its name there. Raises as `open`."""
        end = b"/" if self.real.endswith(b"/") else b""
        folder, last = os.path.split(self.real.rstrip(b"/"))
        above = self._like(os.path.dirname(self.name.rstrip(b"/")), folder, self._above(folder))
        try:
            fd = above.open(os.O_PATH | os.O_DIRECTORY)
        except LeadsElsewhereError as elsewhere:
            raise LeadsElsewhereError(elsewhere.path.rstrip(b"/") + b"/" + last + end) from None
        try:
            yield fd, last + end
        finally:
            os.close(fd)

    def _like(self, name: bytes, real: bytes, anchor: bytes) -> Found:
        return Found(name, real, anchor, readonly=self.readonly)

    def _above(self, folder: bytes) -> bytes:
        """The anchor of its directory: its own, unless that is what it is itself."""
        return self.anchor if folder == self.anchor or folder.startswith(self.anchor + b"/") else folder


class InRoot(Found):
    """Of an image with a root of its own, where links are followed as the container sees them: volumes lie in there, and /proc
    and its like do not. `has` says whether what the kernel found below the root is the root's."""

    __slots__ = ("_has",)

    def __init__(
        self, name: bytes, real: bytes, anchor: bytes, *, readonly: bool, has: Callable[[bytes], bool]
    ) -> None:
        super().__init__(name, real, anchor, readonly=readonly)
        self._has = has

    def _by_links(self, flags: int, mode: int) -> int:
        del mode
        if flags & (os.O_CREAT | os.O_TRUNC):  # nothing is changed before it is known whose it is
            return -1
        anchor = _openat2(AT_FDCWD, self.anchor, os.O_PATH | os.O_CLOEXEC, 0, _NO_LINKS)
        try:
            fd = _openat2(anchor, self.real[len(self.anchor) :], flags, 0, _IN_ROOT | _NO_MAGIC)
        except OSError:
            return -1
        finally:
            os.close(anchor)
        if self._has(real_path(fd)[len(self.anchor) :] or b"/"):
            return fd
        os.close(fd)
        return -1

    def _like(self, name: bytes, real: bytes, anchor: bytes) -> Found:
        return InRoot(name, real, anchor, readonly=self.readonly, has=self._has)


class WayOut(Found):
    """The machine's own, by a path that leads out of something promised (`/app/..`): the kernel would not find the way."""

    __slots__ = ()

    def __init__(self, name: bytes) -> None:
        super().__init__(name, name, name, readonly=False)

    def open(self, flags: int, mode: int = 0) -> int:
        del flags, mode
        raise LeadsElsewhereError(self.name)

    @contextmanager
    def parent(self) -> Iterator[tuple[int, bytes]]:
        with self.path(follow=False) as fd:
            yield fd, b""


class RootLink(Found):
    """The kernel's link to a process's root, which for the container is its own."""

    __slots__ = ()

    def __init__(self, name: bytes) -> None:
        super().__init__(name, b"/proc/self/root", b"/proc/self/root", readonly=True)

    def open(self, flags: int, mode: int = 0) -> int:
        del mode
        if not flags & os.O_NOFOLLOW:
            raise LeadsElsewhereError(b"/")
        return os.open(self.real, flags | os.O_CLOEXEC)


def by_number(fd: int) -> bytes:
    """A path of what a descriptor names, for calls that take none."""
    return b"/proc/self/fd/%d" % fd


def without_links(real: bytes) -> int:
    """A descriptor that only names it. Raises OSError(ELOOP) where a link is on the way, or is what it names."""
    return _openat2(AT_FDCWD, real, os.O_PATH | os.O_CLOEXEC, 0, _NO_LINKS)


def leads_away(folder: bytes, name: bytes) -> bool:
    """Whether a relative path has links on its way, or `..` behind its beginning: the kernel, which begins in the real place,
    would go another way than a container means."""
    if b"/../" in name + b"/":  # not the `..data` of volumes
        return True
    try:
        os.close(_openat2(AT_FDCWD, folder + b"/" + name, os.O_PATH | os.O_CLOEXEC, 0, _NO_LINKS))
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def real_path(fd: int) -> bytes:
    return os.readlink(by_number(fd))


def _openat2(directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    flags &= _KNOWN_WITH_PATH if flags & os.O_PATH else _KNOWN
    if not flags & (os.O_CREAT | _NAMELESS):
        mode = 0
    how = struct.pack("=QQQ", flags, mode & 0o7777, resolve)
    fd = int(_libc.syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(directory), path, how, ctypes.c_long(len(how))))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def make_directories(anchor: bytes, path: bytes) -> None:
    """Below `anchor`, following no link. Raises OSError."""
    fd = _openat2(AT_FDCWD, anchor, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _NO_LINKS)
    try:
        for word in path.split(b"/"):
            if not word:
                continue
            try:
                os.mkdir(word, 0o755, dir_fd=fd)
            except FileExistsError:
                pass
            below = _openat2(fd, word, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _NO_LINKS | _BENEATH)
            os.close(fd)
            fd = below
    finally:
        os.close(fd)


def copy(source: bytes, to: Found, allowed: Callable[[bytes], bool]) -> None:
    """A regular file with its mode and time, to a place where nothing is; its real path must be `allowed`.

    Raises OSError, LeadsElsewhereError."""
    ours = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(ours)
        if not stat.S_ISREG(facts.st_mode) or not allowed(real_path(ours)):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        theirs = to.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            left = facts.st_size
            while left > 0 and (done := os.sendfile(theirs, ours, None, left)):
                left -= done
            os.fchmod(theirs, stat.S_IMODE(facts.st_mode))
            os.utime(theirs, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        finally:
            os.close(theirs)
    finally:
        os.close(ours)
