"""What handlers of calls raise instead of answering; the shim knows what to do then.

An OSError is answered as it is. Others are special to one place: `LeadsElsewhereError` (reach.py), `MadeAgainError` (finding.py),
`NotHeldError` (held.py).
"""

from __future__ import annotations


class Refusal(Exception):
    """The call fails with this errno: said by us, not by the kernel."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class GoneError(Exception):
    """The caller has ended, or was interrupted: there is nobody to answer."""
