"""How violations are told: who did it, in Kubernetes' words. Also the walk over a pod's containers every check makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from wherry.api.types import Obj


class Violation(NamedTuple):
    """`reason` names the check (`hostPort`), `detail` who and what."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def containers(spec: Obj) -> list[Obj]:
    """Init containers first, ephemeral ones last."""
    return [each for key in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(key) or ()]


def context(holder: Obj) -> Obj:
    """securityContext of a pod's spec or a container."""
    found: Obj = holder.get("securityContext") or {}
    return found


def named(spec: Obj, bad: Callable[[Obj], Any]) -> list[str]:
    """The names of the containers `bad` is true of."""
    return [each.get("name", "") for each in containers(spec) if bad(each)]


def quoted(values: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{value}"' for value in values)


def plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def some(word: str, names: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural(word, len(names))} {quoted(names)}"


def setters(pod: bool, names: Sequence[str]) -> str:
    """`pod and container "a"`: those who set something; "" for nobody."""
    return " and ".join([*(["pod"] if pod else []), *([some("container", names)] if names else [])])


def is_windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def in_user_namespace(spec: Obj) -> bool:
    """Such a pod's root is nobody outside: from 1.35 on it may be root."""
    return spec.get("hostUsers") is False
