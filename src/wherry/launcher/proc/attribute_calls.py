"""Extended attributes by a path, and the attributes of file_setattr(2): not shown of what was promised, and set nowhere.

Those by a descriptor are what an owner may do (owner_calls.py).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NoReturn

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.finding import resolve
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal


def _no_attribute(caller: Caller, guest: Guest) -> None:
    """Programs ask for labels and lists of access."""
    if resolve(caller, guest, 0, -1) is None:
        caller.proceed()
    else:
        raise Refusal(errno.ENODATA)


def _no_attributes(caller: Caller, guest: Guest) -> None:
    if resolve(caller, guest, 0, -1) is None:
        caller.proceed()
    else:
        caller.succeed()


def _no_changed_attribute(caller: Caller, guest: Guest) -> NoReturn:
    """Landlock does not keep a container from setting them on the machine's files."""
    del caller, guest
    raise Refusal(errno.EOPNOTSUPP)


def _not_there(caller: Caller, guest: Guest) -> NoReturn:
    """Programs go on with ioctl(2) on a descriptor, as they do before Linux 6.17."""
    del caller, guest
    raise Refusal(errno.ENOSYS)


HANDLERS: dict[str, Callable[[Caller, Guest], None]] = {
    "getxattr": _no_attribute,
    "lgetxattr": _no_attribute,
    "listxattr": _no_attributes,
    "llistxattr": _no_attributes,
    "setxattr": _no_changed_attribute,
    "lsetxattr": _no_changed_attribute,
    "setxattrat": _no_changed_attribute,
    "removexattr": _no_changed_attribute,
    "lremovexattr": _no_changed_attribute,
    "removexattrat": _no_changed_attribute,
    "file_setattr": _not_there,
}
"""By name. They raise OSError, Refusal and GoneError, and answer unless they raise."""
