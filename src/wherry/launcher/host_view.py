"""What a container of `wherry.dev/host` may see of the machine, decided once when the launcher starts.

The root of such a container is one overlay over the *skeleton*, a small tree we make here; each top-level directory of the
machine that is shown is an overlay of its own on top (a user namespace may not overlay "/" itself: the kernel refuses to
clone a mount with locked ones below). The same skeleton lies between the image's layers and the machine in those too,
so one tree says everything:

    a directory that is only in the skeleton        is empty in the container: /root, /home, /run, /tmp, ...
    one that is there with the opaque mark          hides the machine's: /var/log, Wherry's state, ...
    one that is there without                       is the machine's, and new files can be made in it although its
                                                    owner may be nobody in a user namespace
    the interpreter's directories under hidden ones are mount points

Copy-on-write everywhere: a hidden directory can be written, and what a build writes there belongs to its layer.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
from dataclasses import dataclass

from wherry.launcher.syscalls import SyscallError

OPAQUE = "user.overlay.opaque"

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


@dataclass(frozen=True, slots=True)
class HostView:
    """`shared` are top-level names shown from the machine; `split` are directories that have mounts below them."""

    skeleton: str
    shared: tuple[str, ...]
    split: frozenset[str]
    interpreter: tuple[str, ...]
    """Directories of the Python that runs us which would be hidden; bound read-only at their own paths."""
    image_skeleton: str
    """The lowest layer of every other image: mount points that an image may lack."""


def build(state: str) -> HostView:
    """Make the trees under `state`/launcher anew and look at the machine. Raises SyscallError."""
    base = os.path.join(state, "launcher")
    shutil.rmtree(base, ignore_errors=True)
    skeleton, image = os.path.join(base, "host"), os.path.join(base, "image")
    os.makedirs(skeleton, mode=0o755)
    _image_skeleton(image)
    top = sorted(os.listdir("/"))
    shared = tuple(name for name in top if _is_shown(name))
    for name in top:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{skeleton}/{name}")
        elif name in shared or name in _HIDDEN_TOP or name in _MOUNTED or os.path.isdir(f"/{name}"):
            _directory(skeleton, name, _HIDDEN_TOP.get(name))
    for name in (*_HIDDEN_TOP, *_MOUNTED):
        _directory(skeleton, name, _HIDDEN_TOP.get(name, 0o755))
    for path in _WRITABLE:
        if path.partition("/")[0] in shared and os.path.isdir(f"/{path}") and not os.path.islink(f"/{path}"):
            _directory(skeleton, path, None)
    hidden = _hide(skeleton, shared, state)
    interpreter = tuple(path for path in _interpreter() if _is_hidden(path, shared, hidden))
    for path in interpreter:
        _directory(skeleton, path.lstrip("/"), 0o755)
    return HostView(skeleton, shared, _split(shared), interpreter, image)


def hides(path: str) -> bool:
    """Whether containers do not see the machine's own `path` (absolute, normal): the image builder asks without a launcher.

    The directories that are shown empty do exist; what lies below them does not. Of the state directory only the launcher knows.
    """
    parts = path.split("/")
    if len(parts) < 3:
        return False
    if parts[1] in _HIDDEN_TOP or parts[1] in _MOUNTED:
        return True
    return any(path.startswith(f"{hidden}/") for hidden in (*_HIDDEN_BELOW, *_homes()))


def _is_shown(name: str) -> bool:
    path = f"/{name}"
    if (
        name in _HIDDEN_TOP
        or name in _MOUNTED
        or name == "lost+found"
        or os.path.islink(path)
        or not os.path.isdir(path)
    ):
        return False
    try:
        return bool(os.listdir(path)) and os.access(path, os.R_OK | os.X_OK)
    except OSError:
        return False


def _image_skeleton(path: str) -> None:
    os.makedirs(path, mode=0o755)
    for name in ("proc", "sys", "dev", "etc"):
        os.mkdir(f"{path}/{name}", 0o755)
    for name in ("hosts", "hostname", "resolv.conf"):
        os.close(os.open(f"{path}/etc/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _directory(skeleton: str, path: str, mode: int | None) -> None:
    """Make skeleton/path and its parents, each with the machine's mode and owner unless `mode` says otherwise."""
    at = ""
    parts = path.split("/")
    for depth, part in enumerate(parts, 1):
        at = f"{at}/{part}"
        target = skeleton + at
        if os.path.lexists(target):
            continue
        os.mkdir(target)
        wanted = mode if depth == len(parts) else None
        try:
            found = os.lstat(at)
        except OSError:
            found = None
        if wanted is None:
            wanted = stat.S_IMODE(found.st_mode) if found is not None and stat.S_ISDIR(found.st_mode) else 0o755
            if at.split("/")[1] in _HIDDEN_TOP:
                wanted |= 0o111  # on the way to the interpreter, for every user
        os.chmod(target, wanted)
        if found is not None and found.st_uid != os.geteuid():
            try:
                os.chown(target, found.st_uid, found.st_gid)
            except OSError:  # its owner has no number in our user namespace: it is ours then
                pass


def _hide(skeleton: str, shared: tuple[str, ...], state: str) -> frozenset[str]:
    """Make the opaque directories; the paths that hide something."""
    paths = dict(_HIDDEN_BELOW)
    paths[os.path.realpath(state)] = 0o755
    for home in _homes():
        paths.setdefault(home, 0o755)
    hidden: set[str] = set()
    for path, mode in paths.items():
        top = path.split("/")[1]
        if path == f"/{top}" or top not in shared or not os.path.isdir(path) or os.path.islink(path):
            continue
        _directory(skeleton, path.lstrip("/"), mode)
        os.chmod(skeleton + path, mode)
        try:
            os.setxattr(skeleton + path, OPAQUE, b"y")
        except OSError as error:
            raise SyscallError(error.errno or 0, "setxattr", f"{OPAQUE} on {skeleton}{path}") from error
        hidden.add(path)
    return frozenset(hidden)


def _homes() -> list[str]:
    """Where this user's own files lie."""
    found = [os.environ.get("HOME", "/root")]
    try:
        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry, as in containers
        pass
    return [os.path.realpath(path) for path in found]


def _interpreter() -> list[str]:
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    candidates = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, package)}
    candidates |= {os.path.realpath(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    wanted = sorted(path for path in candidates if os.path.isdir(path))
    return [path for path in wanted if not any(path.startswith(other + "/") for other in wanted)]


def _is_hidden(path: str, shared: tuple[str, ...], hidden: frozenset[str]) -> bool:
    return path.split("/")[1] not in shared or any(path == other or path.startswith(other + "/") for other in hidden)


def _split(shared: tuple[str, ...]) -> frozenset[str]:
    """Every shown directory below which something is mounted: it can only be shown child by child."""
    found: set[str] = set()
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            path = line.split(" ")[4].encode().decode("unicode_escape")
            parts = path.split("/")[1:]
            if parts[0] in shared:
                found.update("/" + "/".join(parts[:depth]) for depth in range(1, len(parts)))
    return frozenset(found)
