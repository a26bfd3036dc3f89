"""Which libraries Kubernetes gives its expressions."""

from __future__ import annotations

from typing import Final

from wherry.cel.functions import Library
from wherry.cel.libraries.optionals import OPTIONALS
from wherry.cel.standard import STANDARD

LIBRARIES: Final[tuple[Library, ...]] = (STANDARD, OPTIONALS)
