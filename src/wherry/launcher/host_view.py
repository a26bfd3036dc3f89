"""What a container of `wherry.dev/host` may see of the machine, decided once when the launcher starts.

The root of such a container is one overlay over the *skeleton*, a small tree made here; each directory of the machine that
is shown is a *part*, an overlay of its own on top (a user namespace may not overlay "/" itself: the kernel refuses to clone
a mount with locked ones below). Between a part and the machine lies the same skeleton, so one tree says everything:

    a directory that is only in the skeleton        is empty in the container: /root, /home, /run, /tmp, ...
    one that is there with the opaque mark          hides the machine's: /var/log, Wherry's state, ...
    one that is there without                       is the machine's, and new files can be made in it although its
                                                    owner may be nobody in a user namespace
    the interpreter's directories under hidden ones are mount points

Skeleton and machine are merged into one read-only overlay per part when the launcher starts (machine.py); containers put
their layers on that. Copy-on-write everywhere: a hidden directory can be written, and what a build writes there belongs to
its layer.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from dataclasses import dataclass

from wherry.launcher.syscalls import SyscallError

# Shown empty. /boot is of no use to a container and large; the kernel's own trees are mounted anew.
_HIDDEN_TOP = {"root": 0o711, "home": 0o755, "run": 0o755, "tmp": 0o1777, "boot": 0o755}
_MOUNTED = ("proc", "sys", "dev")
_HIDDEN_BELOW = {"/var/log": 0o755, "/var/tmp": 0o1777}
# Where installers and services make files; without these entries a single mapped user could not.
_WRITABLE = (
    "etc", "opt", "srv", "mnt", "media", "usr", "usr/local", "usr/local/bin", "usr/local/sbin", "usr/local/lib",
    "usr/local/share", "usr/local/etc", "usr/local/include", "usr/local/src", "usr/share", "usr/lib", "usr/bin",
    "var", "var/lib", "var/cache", "var/spool", "var/opt", "var/mail",
)  # fmt: skip
SPLIT_DEPTH_MAX = 2  # where a split goes deeper than this, the machine's directories are shown read-only


@dataclass(frozen=True, slots=True)
class HostView:
    """`parts` are shown copy-on-write, `binds` read-only; both are absolute paths, parents first."""

    skeleton: str
    image_skeleton: str
    """The lowest layer of every other image: mount points that an image may lack."""
    parts: tuple[str, ...]
    binds: tuple[str, ...]
    merged: str = ""
    """Directory of the merged parts, see `merged_part`."""

    def merged_part(self, path: str) -> str:
        """Where skeleton and machine are merged for a part; the machine's own directory if the skeleton adds nothing."""
        return f"{self.merged}/{part_name(path)}" if os.path.isdir(self.skeleton + path) else path


def part_name(path: str) -> str:
    """A file name for a path."""
    return path.strip("/").replace("/", "\\")


class _Skeleton:
    """Makes the tree at `root`; hidden directories get the extended attribute `opaque`."""

    def __init__(self, root: str, opaque: str) -> None:
        self._root = root
        self._opaque = opaque
        os.makedirs(root, mode=0o755)

    def directory(self, path: str, mode: int | None = None) -> None:
        """Make `path` and its parents, each with the machine's mode and owner unless `mode` says otherwise."""
        at = ""
        parts = path.strip("/").split("/")
        for depth, part in enumerate(parts, 1):
            at = f"{at}/{part}"
            if not os.path.lexists(self._root + at):
                self._make(at, mode if depth == len(parts) else None)

    def _make(self, path: str, mode: int | None) -> None:
        target = self._root + path
        os.mkdir(target)
        try:
            found = os.lstat(path)
        except OSError:
            found = None
        if mode is None:
            mode = stat.S_IMODE(found.st_mode) if found is not None and stat.S_ISDIR(found.st_mode) else 0o755
            if path.split("/")[1] in _HIDDEN_TOP:
                mode |= 0o111  # on the way to the interpreter, for every user
        os.chmod(target, mode)
        if found is not None and found.st_uid != os.geteuid():
            try:
                os.chown(target, found.st_uid, found.st_gid)
            except OSError:  # its owner has no number in our user namespace: it is ours then
                pass

    def file(self, path: str) -> None:
        """An empty file, to mount on."""
        self.directory(os.path.dirname(path))
        os.close(os.open(self._root + path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))

    def link(self, path: str) -> None:
        """The machine's symbolic link."""
        os.symlink(os.readlink(path), self._root + path)

    def hide(self, path: str, mode: int) -> None:
        """An empty directory instead of the machine's."""
        self.directory(path, mode)
        os.chmod(self._root + path, mode)
        try:
            os.setxattr(self._root + path, self._opaque, b"y")
        except OSError as error:
            raise SyscallError(error.errno or 0, "setxattr", f"{self._opaque} on {self._root}{path}") from error


def build(base: str, state: str, opaque: str) -> HostView:
    """Make the skeletons in the directory `base` and look at the machine. Raises SyscallError."""
    skeleton = _Skeleton(f"{base}/host", opaque)
    image = _Skeleton(f"{base}/image", opaque)
    for name in (*_MOUNTED, "etc"):
        image.directory(name, 0o755)
    for name in ("hosts", "hostname", "resolv.conf"):
        image.file(f"/etc/{name}")
    top = sorted(os.listdir("/"))
    shown = [name for name in top if _is_shown(f"/{name}")]
    for name in (*_HIDDEN_TOP, *_MOUNTED):
        skeleton.directory(name, _HIDDEN_TOP.get(name, 0o755))
    for name in top:
        if os.path.islink(f"/{name}"):
            skeleton.link(f"/{name}")
        elif os.path.isdir(f"/{name}"):
            skeleton.directory(name)
    for path in _WRITABLE:
        if path.partition("/")[0] in shown and os.path.isdir(f"/{path}") and not os.path.islink(f"/{path}"):
            skeleton.directory(path)
    hidden = {path: mode for path, mode in _hidden(state).items() if path.split("/")[1] in shown}
    for path, mode in hidden.items():
        skeleton.hide(path, mode)
    parts: list[str] = []
    binds: list[str] = []
    split = _split(state)
    for name in shown:
        _show(f"/{name}", 1, skeleton, split, hidden, parts, binds)
    for path in _interpreter():
        if not any(path == part or path.startswith(part + "/") for part in (*parts, *binds)) or _is_below(path, hidden):
            skeleton.directory(path, 0o755)
            binds.append(path)
    return HostView(f"{base}/host", f"{base}/image", tuple(parts), tuple(binds))


def _is_shown(path: str) -> bool:
    """A directory with something in it that we may read; an empty one needs no more than the skeleton."""
    name = path.split("/")[1]
    if (
        name in _HIDDEN_TOP
        or name in _MOUNTED
        or name == "lost+found"
        or os.path.islink(path)
        or not os.path.isdir(path)
    ):
        return False
    try:
        return os.access(path, os.R_OK | os.X_OK) and bool(os.listdir(path))
    except OSError:
        return False


def _show(
    path: str,
    depth: int,
    skeleton: _Skeleton,
    split: set[str],
    hidden: dict[str, int],
    parts: list[str],
    binds: list[str],
) -> None:
    """Plan a directory: whole, or child by child where something is mounted below it."""
    skeleton.directory(path)
    if depth > SPLIT_DEPTH_MAX:
        binds.append(path)
    elif path not in split:
        parts.append(path)
    else:
        for child in sorted(f"{path}/{name}" for name in os.listdir(path)):
            if child in hidden:
                continue
            if os.path.islink(child):
                skeleton.link(child)
            elif _is_shown(child):
                _show(child, depth + 1, skeleton, split, hidden, parts, binds)
            elif os.path.isdir(child):
                skeleton.directory(child)
            elif os.path.isfile(child) and os.access(child, os.R_OK):
                skeleton.file(child)
                binds.append(child)


def _hidden(state: str) -> dict[str, int]:
    """Real directories below shown ones that must not be seen, with the mode they show instead."""
    paths = dict(_HIDDEN_BELOW)
    homes = [os.environ.get("HOME", "/root")]
    try:
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry
        pass
    for path in (state, *homes):
        paths.setdefault(os.path.realpath(path), 0o755)
    return {
        path: mode
        for path, mode in paths.items()
        if path.count("/") > 1 and os.path.isdir(path) and os.path.realpath(path) == path
    }


def _interpreter() -> list[str]:
    """The directories of the Python that runs us and of this package, none inside another."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    candidates = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, package)}
    candidates |= {os.path.realpath(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    wanted = sorted(path for path in candidates if os.path.isdir(path))
    return [path for path in wanted if not any(path.startswith(other + "/") for other in wanted)]


def _is_below(path: str, hidden: dict[str, int]) -> bool:
    return any(path == other or path.startswith(other + "/") for other in hidden)


def _split(state: str) -> set[str]:
    """Every directory below which something is mounted: it can only be shown child by child. Our own mounts do not count."""
    found: set[str] = set()
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            path = line.split(" ")[4].encode().decode("unicode_escape")
            if path.startswith(state + "/"):
                continue
            parts = path.split("/")[1:]
            found.update("/" + "/".join(parts[:depth]) for depth in range(1, len(parts)))
    return found
