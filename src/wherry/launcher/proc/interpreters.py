"""Programs of an image with a root of its own, made ready for execve(2): the kernel looks for a program's interpreter, its
dynamic linker, at the machine's root, where there is another one or none.

So a copy is executed that names the image's by its real path. The copy differs from the file in that alone: what the program
finds in its memory is what it always finds, its command line, its name and, by readlink(2) (process_links.py), /proc/self/exe
too. Programs without an interpreter are executed as they are. A copy is made once for each file and state of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

from wherry.launcher.proc.finding import follow
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.reach import Found, real_path

COPIED_BYTES_MAX = 256 << 20
"""Of one program. Nobody else is answered meanwhile."""
COPIES_MAX, COPIES_BYTES_MAX = 256, 1 << 30
"""Of a container; the oldest are made anew when they are executed again. A program that changes at each start fills no disk."""
_HEAD = struct.Struct("=4sB11xHHIQQQIHHHHHH")  # Elf64_Ehdr
_PART = struct.Struct("=IIQQQQQQ")  # Elf64_Phdr
_PT_INTERP = 3
_PARTS_MAX = 128
_PATH_MAX = 4096


class Interpreter(NamedTuple):
    """`path` as the program names it; where its entry lies in the file."""

    path: bytes
    entry: int


def interpreter(fd: int) -> Interpreter | None:
    """Of an ELF file of 64 bits; None: it needs none, or is nothing of the kind. Raises OSError."""
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return None
    magic, bits, _, _, _, _, parts, _, _, _, size, count, *_ = _HEAD.unpack(head)
    if magic != b"\x7fELF" or bits != 2 or size != _PART.size:
        return None
    for at in range(min(count, _PARTS_MAX)):
        part = os.pread(fd, _PART.size, parts + at * size)
        if len(part) < _PART.size:
            return None
        kind, _, offset, _, _, length, _, _ = _PART.unpack(part)
        if kind == _PT_INTERP:
            if not 2 <= length <= _PATH_MAX:
                return None
            return Interpreter(os.pread(fd, length, offset).split(b"\0", 1)[0], parts + at * size)
    return None


def runnable(guest: Guest, real: bytes, name: bytes) -> bytes:
    """The real path to execute in place of a program's, which was executed by `name`: a process is called after that, whatever
    links lead to. Raises OSError, Refusal."""
    programs = guest.paths.programs
    if programs is None or real.startswith(programs + b"/"):
        return real
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(fd)
        wanted = interpreter(fd)
        linker = _where(guest, wanted.path) if wanted else None
        # By its inode and the time of its last change, which nobody can set; its size comes last, for `_make_room`.
        key = b"%x-%x-%x-%d" % (facts.st_ino, facts.st_ctime_ns, zlib.crc32(linker or b""), facts.st_size)
        made = real
        if wanted and linker:
            made = programs + b"/" + key + (guest.shown(real) or real)
            if not os.path.exists(made):
                if facts.st_size > COPIED_BYTES_MAX:
                    raise Refusal(errno.ENOMEM)
                _copy(fd, facts, wanted, linker, programs, made)
    finally:
        os.close(fd)
    called = os.path.basename(name)
    return made if not called or called == os.path.basename(made) else _link(programs, key, called, made)


def _link(programs: bytes, key: bytes, called: bytes, to: bytes) -> bytes:
    link = b"/".join((programs, key + b"-as", called))
    if not os.path.lexists(link):
        _make_room(programs, 0)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        with suppress(FileExistsError):
            os.symlink(to, link)
    return link


def _where(guest: Guest, name: bytes) -> bytes | None:
    """The real path of an interpreter; None: it is none of the container's. Raises OSError."""
    found = guest.find(name, changes=False)
    return None if found is None else follow(guest, found, _real)


def _real(found: Found) -> bytes:
    with found.path(follow=True) as fd:
        return real_path(fd)


def _copy(fd: int, facts: os.stat_result, wanted: Interpreter, linker: bytes, programs: bytes, made: bytes) -> None:
    """Appears whole or not at all."""
    _make_room(programs, facts.st_size)
    os.makedirs(os.path.dirname(made), exist_ok=True)
    draft = made + b"-%d" % os.getpid()
    out = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o700)
    try:
        left = facts.st_size
        while left > 0 and (done := os.sendfile(out, fd, None, left)):
            left -= done
        end = os.fstat(out).st_size
        os.pwrite(out, linker + b"\0", end)
        kind, flags, _, address, physical, _, size, align = _PART.unpack(os.pread(fd, _PART.size, wanted.entry))
        length = len(linker) + 1
        os.pwrite(out, _PART.pack(kind, flags, end, address, physical, length, size, align), wanted.entry)
        os.fchmod(out, 0o755)
    finally:
        os.close(out)
    os.rename(draft, made)


def _make_room(programs: bytes, size: int) -> None:
    """For one more of so many bytes."""
    with os.scandir(programs) as entries:
        known = sorted((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in entries)
    left = COPIES_BYTES_MAX - size - sum(_bytes(name) for _, name in known)
    for at, (_, name) in enumerate(known):
        if len(known) - at < COPIES_MAX and left >= 0:
            return
        left += _bytes(name)
        shutil.rmtree(programs + b"/" + name, ignore_errors=True)


def _bytes(name: bytes) -> int:
    size = name.rpartition(b"-")[2]
    return int(size) if size.isdigit() else 0
