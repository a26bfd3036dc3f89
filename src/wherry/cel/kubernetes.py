"""Which libraries Kubernetes gives its expressions: rules of custom resources, and what else admission has."""

from __future__ import annotations

from typing import Final

from wherry.cel.functions import Library
from wherry.cel.libraries.addresses import ADDRESSES
from wherry.cel.libraries.authorizer import AUTHORIZERS
from wherry.cel.libraries.formats import FORMATS
from wherry.cel.libraries.lists import LISTS
from wherry.cel.libraries.optionals import OPTIONALS
from wherry.cel.libraries.patches import PATCHES
from wherry.cel.libraries.quantities import QUANTITIES
from wherry.cel.libraries.regexes import REGEXES
from wherry.cel.libraries.semvers import SEMVERS
from wherry.cel.libraries.sets import SETS
from wherry.cel.libraries.strings import STRINGS
from wherry.cel.libraries.urls import URLS
from wherry.cel.standard import STANDARD

RULES: Final[tuple[Library, ...]] = (
    *(STANDARD, OPTIONALS, STRINGS, REGEXES, LISTS, SETS),
    *(URLS, QUANTITIES, ADDRESSES, FORMATS, SEMVERS),
)
LIBRARIES: Final[tuple[Library, ...]] = (*RULES, AUTHORIZERS, PATCHES)
