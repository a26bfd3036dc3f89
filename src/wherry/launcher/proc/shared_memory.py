"""/dev/shm of each pod: a directory of its own, shared by its containers, for as long as its sandbox lives.

It lies in the machine's /dev/shm, so that shared memory is memory, in a directory of this launcher's that nobody else may enter;
without room there it lies on the disk. How much a pod puts there is limited by the machine's alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from wherry.launcher import jobs, trees
from wherry.launcher.loop import Loop

MACHINES = "/dev/shm"
_LINKS = (b"/run/shm", b"/var/run/shm")
"""Other names that a machine may have for it."""
_ON_DISK = "shared-memory"
"""In the directory of a sandbox."""


@cache
def names() -> tuple[bytes, ...]:
    """How programs name it here; the first is the one that they are shown."""
    name, real = os.fsencode(MACHINES), machines()
    return (name, *(each for each in _LINKS if os.path.islink(each) and os.path.realpath(each) == real))


@cache
def machines() -> bytes:
    """The real path of the machine's, which pods with hostIPC have."""
    return os.path.realpath(os.fsencode(MACHINES))


def begin(state: str, machines: str = MACHINES) -> str:
    """Where directories of pods go from now on; empty: on the disk. What earlier launchers of this state directory left is
    removed."""
    prefix = _prefix(state)
    for left in _left(machines, prefix):
        remove_all(left)
    try:
        return tempfile.mkdtemp(prefix=prefix, dir=os.path.realpath(machines))
    except OSError:
        return ""


def make(folder: str, sandbox: str, directory: str) -> str:
    """A pod's, in what `begin` said, else in its sandbox's `directory`. Its path. Raises OSError."""
    if folder:
        path = os.path.join(folder, sandbox)
        with suppress(OSError):  # no more files have room there
            return _made(path)
    path = os.path.join(os.path.realpath(directory), _ON_DISK)
    trees.remove(path)  # of a sandbox before this one, which ended with its launcher
    return _made(path)


def remove(loop: Loop, folder: str, sandbox: str) -> None:
    """Of a pod that has ended; what lies on the disk goes with its sandbox. Returns at once, however much is in it."""
    if not folder:
        return
    path = os.path.join(folder, sandbox)
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            with suppress(OSError):  # what stays goes with the launcher
                jobs.run(loop, lambda: trees.remove(path), set(), lambda _: None)


def remove_all(folder: str) -> None:
    """What `begin` made, or as much of it as can be: nobody is left who uses it."""
    if folder:
        with suppress(OSError):
            trees.remove(folder)


def _made(path: str) -> str:
    os.mkdir(path)
    os.chmod(path, 0o1777)  # noqa: S103 -- as a pod's is
    return path


def _prefix(state: str) -> str:
    """Of a state directory, not of its name: containers that share memory may each have one of that name."""
    facts = os.stat(state)
    return f"wherry-{hashlib.sha256(f'{facts.st_dev} {facts.st_ino}'.encode()).hexdigest()[:16]}-"


def _left(machines: str, prefix: str) -> Iterator[str]:
    """Ours only: everybody may make something of that name there."""
    with suppress(OSError), os.scandir(machines) as entries:
        for entry in entries:
            with suppress(OSError):
                ours = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
                if entry.name.startswith(prefix) and ours and entry.is_dir(follow_symlinks=False):
                    yield entry.path
