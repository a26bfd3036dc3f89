"""Users and groups of an image: USER, --chown. By number, or by the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

import re
import stat

from msgspec import Struct

from wherry.builder.copying import Ownership
from wherry.builder.view import View


class User(Struct, frozen=True):
    """Who runs a command; `groups` are supplementary."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def user(view: View, text: str) -> User:
    """`name|uid[:group|gid]` as USER means it: group 0 when nobody says another one. Raises ValueError."""
    name, _, group = (text or "0").partition(":")
    row = _row(view, "/etc/passwd", name, 4)
    if row is None and not name.isdigit():
        raise ValueError(f"unable to find user {name}: no matching entries in passwd file of the image; use a number")
    uid = int(row[2]) if row else int(name)
    home = row[5] if row and len(row) > 5 and row[5] else "/root" if uid == 0 else "/"
    if group:
        return User(uid, group_id(view, group), (), home)
    return User(uid, int(row[3]) if row else 0, _supplementary(view, row[0]) if row else (), home)


def ownership(view: View, chown: str, chmod: str) -> Ownership:
    """Of `--chown` and `--chmod`: a user without a group gives the group of the same number. Raises ValueError."""
    mode = None
    if chmod:
        if not re.fullmatch(r"[0-7]{3,4}", chmod):
            raise ValueError(f"--chmod={chmod}: must be octal, as in 755")
        mode = stat.S_IMODE(int(chmod, 8))
    if not chown:
        return Ownership(mode=mode)
    name, _, group = chown.partition(":")
    row = None if name.isdigit() else _row(view, "/etc/passwd", name, 4)
    if row is None and not name.isdigit():
        raise ValueError(f"--chown={chown}: no user {name} in /etc/passwd of the image; use a number")
    uid = int(row[2]) if row else int(name)
    gid = group_id(view, group) if group else int(row[3]) if row else uid
    return Ownership(uid, gid, mode, chosen=True)


def group_id(view: View, text: str) -> int:
    """Raises ValueError."""
    if text.isdigit():
        return int(text)
    row = _row(view, "/etc/group", text, 3)
    if row is None:
        raise ValueError(f"unable to find group {text}: no matching entries in group file of the image; use a number")
    return int(row[2])


def _row(view: View, file: str, name: str, fields: int) -> list[str] | None:
    """The entry of a name or number, with at least `fields` fields."""
    for line in view.read_text(file).splitlines():
        row = line.split(":")
        numbers = row[2:fields]
        if name in (row[0], row[2] if len(row) > 2 else None) and len(row) >= fields and all(map(str.isdigit, numbers)):
            return row
    return None


def _supplementary(view: View, name: str) -> tuple[int, ...]:
    rows = (line.split(":") for line in view.read_text("/etc/group").splitlines())
    return tuple(int(row[2]) for row in rows if len(row) > 3 and row[2].isdigit() and name in row[3].split(","))
