"""Files of a system's state: only their owner reads them, and a reader sees the old content or the new one, never half."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace the file; mode 0600 from its first moment."""
    draft = path.with_name(f"{path.name}.tmp")
    with open(draft, "w", opener=opener) as file:
        file.write(text)
    draft.replace(path)


def opener(path: str, flags: int) -> int:
    """For `open(..., opener=opener)`: what is made is only its owner's; what was there from before becomes it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
