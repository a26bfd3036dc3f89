"""What an expression may use: variables with their types, libraries, types to construct. An Environment never changes and is
cheap to share; building one joins the libraries once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wherry.cel.functions import Dispatch, Function, Key, Library, joined
from wherry.cel.types import ObjectType, Type

CALL_COST_MAX: Final = 1_000_000
"""What one evaluation may use, as Kubernetes' PerCallLimit."""


def _no_object(name: str) -> ObjectType | None:
    return None


class Environment:
    """
    variables    name -> type, dotted names allowed
    functions    all functions of the libraries
    type_names   names that stand for a type
    object_type  the type `Name{...}` constructs, None when there is none
    homogeneous  whether literals of lists and maps must be of one type, as Kubernetes demands
    """

    def __init__(
        self,
        variables: Mapping[str, Type],
        libraries: tuple[Library, ...] | None = None,
        *,
        object_type: Callable[[str], ObjectType | None] = _no_object,
        homogeneous: bool = True,
    ) -> None:
        if libraries is None:
            from wherry.cel.kubernetes import LIBRARIES

            libraries = LIBRARIES
        (self.functions, self._classes, self.type_names, self._dispatchers) = _library(libraries)
        self.libraries = libraries
        self.variables = dict(variables)
        self.object_type = object_type
        self.homogeneous = homogeneous

    def extended(self, variables: Mapping[str, Type]) -> Environment:
        """The same with more variables."""
        return Environment(
            {**self.variables, **variables},
            self.libraries,
            object_type=self.object_type,
            homogeneous=self.homogeneous,
        )

    def dispatch(self, key: Key, count: int) -> Dispatch:
        """Shared by all expressions: what one has found out about classes serves the others."""
        found = self._dispatchers.get((key, count))
        if found is None:
            found = self._dispatchers[key, count] = Dispatch(self.functions[key], count, self._classes)
        return found


_Joined = tuple[dict[Key, Function], dict[str, type], dict[str, Type], dict[tuple[Key, int], Dispatch]]
_JOINED: dict[tuple[int, ...], tuple[tuple[Library, ...], _Joined]] = {}


def _library(libraries: tuple[Library, ...]) -> _Joined:
    """Joined once for each set of libraries; there are only as many as the code names."""
    key = tuple(map(id, libraries))
    found = _JOINED.get(key)
    if found is None:
        classes = {name: each for library in libraries for name, each in library.classes.items()}
        types = {name: each for library in libraries for name, each in library.types.items()}
        found = _JOINED[key] = (libraries, (joined(libraries), classes, types, {}))
    return found[1]
