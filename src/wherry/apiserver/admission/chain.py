"""The plugins in their order, in two phases. Each sees what those before it made of the object; the first refusal ends it.

Order as Kubernetes recommends: whether the namespace takes anything at all comes first, what it costs (quota) last.
Whatever is asked of others (policies, webhooks) comes after what is built in; what they change is shown to all once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

from wherry.api.scheme import Resource
from wherry.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from wherry.apiserver.admission.default_ingress_class import DefaultIngressClass
from wherry.apiserver.admission.default_storage_class import DefaultStorageClass
from wherry.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from wherry.apiserver.admission.limit_ranger import LimitRanger
from wherry.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from wherry.apiserver.admission.node_restriction import NodeRestriction
from wherry.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from wherry.apiserver.admission.pod_security.plugin import PodSecurity
from wherry.apiserver.admission.policies.authoring import PolicyAuthoring
from wherry.apiserver.admission.policies.plugins import MutatingAdmissionPolicies, ValidatingAdmissionPolicies
from wherry.apiserver.admission.priority import Priority
from wherry.apiserver.admission.request import AdmissionRequest, Mutating, Outgoing, Plugin, Validating, World
from wherry.apiserver.admission.resource_quota import ResourceQuota
from wherry.apiserver.admission.runtime_class import RuntimeClass
from wherry.apiserver.admission.service_account import ServiceAccount
from wherry.apiserver.admission.storage_protection import StorageObjectInUseProtection
from wherry.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from wherry.apiserver.admission.webhooks.mutating import MutatingWebhooks
from wherry.apiserver.admission.webhooks.validating import ValidatingWebhooks

__all__ = ["Admission", "AdmissionRequest", "Plugin"]


_Phases: TypeAlias = tuple[list[Mutating], list[Validating]]


class Admission:
    """The chain; without arguments, the plugins Kubernetes enables by default that Wherry has."""

    def __init__(self, plugins: Sequence[Plugin] | None = None) -> None:
        chosen = default_plugins() if plugins is None else tuple(plugins)
        self._mutating = [cast(Mutating, each) for each in chosen if hasattr(each, "admit")]
        self._validating = [cast(Validating, each) for each in chosen if hasattr(each, "validate")]
        self._by_resource: dict[tuple[str, str], _Phases] = {}
        self._outgoing = [cast(Outgoing, each) for each in chosen if hasattr(each, "asks")]

    def asks_others(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        """Whether such a write leaves the process on its way (webhooks)."""
        return any(plugin.asks(world, resource, subresource, operation) for plugin in self._outgoing)

    async def mutate(self, request: AdmissionRequest) -> None:
        """The first phase. Raises the StatusError of the first plugin that refuses."""
        plugins = self._concerned(request.resource)[0]
        for plugin in plugins:
            await plugin.admit(request)
        if request.reinvocation.wanted:
            request.reinvocation.again = True
            for plugin in plugins:
                await plugin.admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """The second phase. Raises the StatusError of the first plugin that refuses."""
        for plugin in self._concerned(request.resource)[1]:
            await plugin.validate(request)

    def _concerned(self, resource: Resource) -> _Phases:
        """The plugins a resource has to do with, found out once."""
        key = (resource.group, resource.resource)
        found = self._by_resource.get(key)
        if found is None:
            phases = [[each for each in phase if concerns(each, key)] for phase in (self._mutating, self._validating)]
            found = self._by_resource[key] = cast(_Phases, tuple(phases))
        return found

    async def admit(self, request: AdmissionRequest) -> None:
        """Both phases, for what has no strategy between them: DELETE, CONNECT, subresources that store nothing."""
        await self.mutate(request)
        await self.validate(request)


def concerns(plugin: Plugin, resource: tuple[str, str]) -> bool:
    """Whether a plugin may have anything to do with a resource (group, plural)."""
    wanted: frozenset[tuple[str, str]] | None = getattr(plugin, "concerns", None)
    return wanted is None or resource in wanted


def default_plugins() -> tuple[Plugin, ...]:
    return (
        NamespaceLifecycle(),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        TaintNodesByCondition(),
        Priority(),
        DefaultTolerationSeconds(),
        RuntimeClass(),
        DefaultStorageClass(),
        StorageObjectInUseProtection(),
        DefaultIngressClass(),
        PersistentVolumeClaimResize(),
        CertificateApproval(),
        CertificateSigning(),
        ClusterTrustBundleAttest(),
        CertificateSubjectRestriction(),
        PodSecurity(),
        PolicyAuthoring(),
        MutatingAdmissionPolicies(),
        MutatingWebhooks(),
        ValidatingAdmissionPolicies(),
        ValidatingWebhooks(),
        ResourceQuota(),
    )
