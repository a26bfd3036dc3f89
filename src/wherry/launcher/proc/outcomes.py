"""What handlers of calls raise instead of answering; the shim knows what to do then.

An OSError is answered as it is. Others are special to one place: `LeadsElsewhereError` (reach.py), `MadeAgainError` (finding.py),
`NotHeldError` (held.py).
"""

from __future__ import annotations

import ctypes
import os


class Refusal(Exception):
    """The call fails with this errno: said by us, not by the kernel."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class GoneError(Exception):
    """The caller has ended, or was interrupted: there is nobody to answer."""


def checked(result: int) -> int:
    """What a function of libc returned. Raises the OSError that it failed with, which ctypes keeps."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
