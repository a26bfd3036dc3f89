"""Tables of probes: a good object of a kind, one change to it, and what Kubernetes says of that.

    probe = Probe(GVR(...), {"spec": ...})
    await probe.refuses(world, "spec.ports[0].port", 0, "spec.ports[0].port: Invalid value: 0: must be ...")

A path is that of a field as users write it, with list positions; `DROP` takes the field away. Several causes are joined by
newlines, in their order.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Final

import pytest
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry.scopes import SCOPES

DROP: Final = object()
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def changed(body: Obj, path: str, value: Any) -> Obj:
    """A copy with one field set, made on the way there, or dropped."""
    result: Any = copy.deepcopy(body)
    steps: list[Any] = [int(index) if index else name for name, index in _STEP.findall(path)]
    at = result
    for i, step in enumerate(steps[:-1]):
        if isinstance(step, int):
            while len(at) <= step:
                at.append({})
        elif at.get(step) is None:
            at[step] = [] if isinstance(steps[i + 1], int) else {}
        at = at[step]
    if value is DROP:
        del at[steps[-1]]
    elif isinstance(at, list) and len(at) <= steps[-1]:
        at.append(value)
    else:
        at[steps[-1]] = value
    assert isinstance(result, dict)
    return result


@dataclass(frozen=True)
class Probe:
    """A kind and an object of it that is accepted as it is."""

    gvr: GVR
    body: Obj
    name: str = "x"

    async def create(self, world: World, body: Obj | None = None) -> Obj:
        sent = {"metadata": {"name": self.name}, **(self.body if body is None else body)}
        return (await world.create(self.gvr, sent, NAMESPACE))[0]

    async def refuses(self, world: World, path: str, value: Any, expected: str) -> None:
        """Whether creating it with that change says exactly that."""
        with pytest.raises(StatusError) as caught:
            await self.create(world, changed(self.body, path, value))
        assert _said(caught.value) == expected.split("\n")

    async def keeps(self, world: World, path: str, value: Any, expected: str) -> None:
        """Whether changing what is stored says exactly that; "" for a change that may be made."""
        registry = world.registries[self.gvr]
        if registry.find(NAMESPACE, self.name) is None:
            await self.create(world)
        write = world.write(registry.resource, NAMESPACE, "", self.name, False)
        writing = registry.update(NAMESPACE, self.name, lambda old: changed(old, path, value), write, SCOPES[""])
        if not expected:
            await writing
            return
        with pytest.raises(StatusError) as caught:
            await writing
        assert _said(caught.value) == expected.split("\n")


def _said(error: StatusError) -> list[str]:
    assert error.code == 422, error
    assert error.details is not None
    return [f"{cause['field']}: {cause['message']}" for cause in error.details["causes"]]
