"""The webhooks of all configurations of one kind, parsed, in the order they are asked: by configuration, then as listed.

Rebuilt when a configuration changed and at no other time; asking whether one did costs the comparison of two integers.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.admission.conditions import Conditions
from wherry.apiserver.admission.matching import GROUP, Criteria
from wherry.apiserver.admission.request import World
from wherry.apiserver.outward import Target
from wherry.apiserver.registry.webhook_configuration import REVIEW_VERSIONS, TIMEOUT_SECONDS


class Hook(Struct, frozen=True):
    """One webhook. `uid` tells it from a namesake in another configuration; `timeout` in seconds."""

    uid: str
    configuration: str
    name: str
    target: Target
    criteria: Criteria
    conditions: Conditions
    ignores_failures: bool
    timeout: int
    review_version: str
    reinvoked: bool


class Index:
    """`kind`: the plural of the configurations."""

    def __init__(self, kind: str) -> None:
        self._prefix = f"/registry/{GROUP}/{kind}/"
        self._changed_at = -1
        self._hooks: tuple[Hook, ...] = ()

    def hooks(self, world: World) -> tuple[Hook, ...]:
        changed_at = world.storage.changed_at(self._prefix)
        if changed_at != self._changed_at:
            configurations = [entry.value for entry in world.storage.list(self._prefix)]
            self._hooks = tuple(hook for each in configurations for hook in _hooks(each))
            self._changed_at = changed_at
        return self._hooks

    def concerns(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        """Whether any webhook may be asked about such writes, in whichever version and however selected."""
        return any(
            rule.speaks_of(resource.resource, subresource, operation)
            for hook in self.hooks(world)
            for rule in hook.criteria.rules
        )


def _hooks(configuration: Obj) -> list[Hook]:
    name = configuration["metadata"]["name"]
    return [
        Hook(
            uid=f"{name}/{hook['name']}/{index}",
            configuration=name,
            name=hook["name"],
            target=Target.of(hook.get("clientConfig") or {}),
            criteria=Criteria.of(hook),
            conditions=Conditions.of(hook),
            ignores_failures=hook.get("failurePolicy") == "Ignore",
            timeout=hook.get("timeoutSeconds") or TIMEOUT_SECONDS,
            review_version=next(v for v in REVIEW_VERSIONS if v in hook["admissionReviewVersions"]),
            reinvoked=hook.get("reinvocationPolicy") == "IfNeeded",
        )
        for index, hook in enumerate(configuration.get("webhooks") or ())
    ]
