"""Who a container runs as: names of an image's `User` looked up in the image's own /etc/passwd and /etc/group.

Reads files below image layers only, and never follows a symlink out of one.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from wherry.images.rootfs import RootFS

FILE_BYTES_MAX = 1 << 20  # no passwd file of an image is larger; more would be an attack on our memory


class User(Struct, frozen=True):
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""


class UnknownUser(Exception):
    """`unable to find user nobody: no matching entries in passwd file`, as runc says it."""


def find_user(rootfs: RootFS, text: str) -> User:
    """The user an image's `User` names: `name`, `uid`, `name:group`, `uid:gid`. Empty is root."""
    name, _, group = text.partition(":")
    name = name or "0"
    found = _find_account(_accounts(rootfs), name)
    if found is None:
        if not name.isdigit():
            raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
        found = User(int(name), 0)
    if group:
        gid = _find_group(rootfs, group)
        return User(found.uid, gid, (), found.home, found.name)
    return User(found.uid, found.gid, _groups_of(rootfs, found.name), found.home, found.name)


def home_of(rootfs: RootFS, uid: int) -> str:
    """The home directory of a uid; `/` when the image does not know it."""
    found = _find_account(_accounts(rootfs), str(uid))
    return found.home if found is not None else "/"


def groups_of_uid(rootfs: RootFS, uid: int) -> tuple[int, ...]:
    """Supplementary groups the image's /etc/group gives to a uid."""
    found = _find_account(_accounts(rootfs), str(uid))
    return _groups_of(rootfs, found.name) if found is not None else ()


def _find_account(accounts: list[User], name: str) -> User | None:
    for account in accounts:
        if account.name == name:
            return account
    return next((account for account in accounts if name.isdigit() and account.uid == int(name)), None)


def _accounts(rootfs: RootFS) -> list[User]:
    found: list[User] = []
    for line in _read(rootfs, "etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[3].isdigit():
            found.append(User(int(fields[2]), int(fields[3]), (), fields[5] or "/", fields[0]))
    return found


def _groups(rootfs: RootFS) -> list[tuple[str, int, list[str]]]:
    found: list[tuple[str, int, list[str]]] = []
    for line in _read(rootfs, "etc/group").splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit():
            found.append((fields[0], int(fields[2]), fields[3].split(",")))
    return found


def _find_group(rootfs: RootFS, name: str) -> int:
    for group, gid, _ in _groups(rootfs):
        if group == name:
            return gid
    if not name.isdigit():
        raise UnknownUser(f"unable to find group {name}: no matching entries in group file")
    return int(name)


def _groups_of(rootfs: RootFS, name: str) -> tuple[int, ...]:
    return tuple(gid for _, gid, members in _groups(rootfs) if name and name in members)


def _read(rootfs: RootFS, relative: str) -> str:
    roots = [*rootfs.layers, *([Path("/")] if rootfs.host else [])]
    for root in roots:
        path = root / relative
        if path.is_symlink() and root != Path("/"):
            continue
        try:
            with path.open("rb") as file:
                return file.read(FILE_BYTES_MAX).decode(errors="replace")
        except OSError:
            continue
    return ""
