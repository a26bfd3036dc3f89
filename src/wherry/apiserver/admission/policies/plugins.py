"""The two plugins. CEL and everything that uses it is loaded with the first policy; until then a write costs two integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.apiserver.admission.matching import GROUP, is_policy
from wherry.apiserver.admission.request import AdmissionRequest, World

if TYPE_CHECKING:
    from wherry.apiserver.admission.policies.index import Policy


class _Policies:
    """Policies of one kind and their bindings, by their plurals."""

    def __init__(self, policies: str, bindings: str) -> None:
        self._plurals = (policies, bindings)
        self._prefixes = tuple(f"/registry/{GROUP}/{plural}/" for plural in self._plurals)
        self._changed_at: tuple[int, ...] = (0, 0)
        self._policies: tuple[Policy, ...] = ()

    def of(self, request: AdmissionRequest) -> tuple[Policy, ...]:
        """Those that are bound, unless the request is none that policies are about."""
        if request.world is None or is_policy(request.resource):
            return ()
        storage = request.world.storage
        changed_at = tuple(map(storage.changed_at, self._prefixes))
        if changed_at != self._changed_at:
            served = {each.resource for each in request.world.served if each.group == GROUP}
            # What another Kubernetes version stored may lie here without being served.
            self._policies = _read(request.world, self._prefixes) if served.issuperset(self._plurals) else ()
            self._changed_at = changed_at
        return self._policies


def _read(world: World, prefixes: tuple[str, ...]) -> tuple[Policy, ...]:
    from wherry.apiserver.admission.policies.index import policies

    stored, bindings = ([entry.value for entry in world.storage.list(prefix)] for prefix in prefixes)
    return policies(stored, bindings)


class ValidatingAdmissionPolicies:
    name = "ValidatingAdmissionPolicy"

    def __init__(self) -> None:
        self._policies = _Policies("validatingadmissionpolicies", "validatingadmissionpolicybindings")

    async def validate(self, request: AdmissionRequest) -> None:
        if policies := self._policies.of(request):
            from wherry.apiserver.admission.policies import validating

            assert request.world is not None
            await validating.enforce(policies, request.world, request)


class MutatingAdmissionPolicies:
    name = "MutatingAdmissionPolicy"

    def __init__(self) -> None:
        self._policies = _Policies("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")

    async def admit(self, request: AdmissionRequest) -> None:
        if policies := self._policies.of(request):
            from wherry.apiserver.admission.policies import mutating

            assert request.world is not None
            await mutating.enforce(policies, request.world, request)
