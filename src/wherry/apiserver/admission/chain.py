"""The plugins in their order, in two phases. Each sees what those before it made of the object; the first refusal ends it.

Order as Kubernetes recommends: whether the namespace takes anything at all comes first, what it costs (quota) last.
Whatever is asked of others (policies, webhooks) comes after what is built in; what they change is shown to all once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, cast

from wherry.api.errors import StatusError
from wherry.api.exposition import Family
from wherry.api.histogram import Histogram
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
from wherry.apiserver.admission.figures import Figures
from wherry.apiserver.admission.limit_ranger import LimitRanger
from wherry.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from wherry.apiserver.admission.node_restriction import NodeRestriction
from wherry.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from wherry.apiserver.admission.pod_security.plugin import PodSecurity
from wherry.apiserver.admission.policies.authoring import PolicyAuthoring
from wherry.apiserver.admission.policies.plugins import MutatingAdmissionPolicies, ValidatingAdmissionPolicies
from wherry.apiserver.admission.priority import Priority
from wherry.apiserver.admission.request import AdmissionRequest, Outgoing, Plugin, World
from wherry.apiserver.admission.resource_quota import ResourceQuota
from wherry.apiserver.admission.runtime_class import RuntimeClass
from wherry.apiserver.admission.service_account import ServiceAccount
from wherry.apiserver.admission.storage_protection import StorageObjectInUseProtection
from wherry.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from wherry.apiserver.admission.webhooks.mutating import MutatingWebhooks
from wherry.apiserver.admission.webhooks.validating import ValidatingWebhooks

__all__ = ["Admission", "AdmissionRequest", "Plugin"]


_Step: TypeAlias = tuple[str, Callable[[AdmissionRequest], Awaitable[None]], Histogram]
"""A plugin's name, what it does in one phase, and how long that took before."""


class Admission:
    """The chain; without arguments, the plugins Kubernetes enables by default that Wherry has."""

    def __init__(self, plugins: Sequence[Plugin] | None = None) -> None:
        self._plugins = default_plugins() if plugins is None else tuple(plugins)
        self._steps: dict[tuple[str, str, str, str], tuple[list[_Step], Histogram]] = {}
        self._outgoing = [cast(Outgoing, each) for each in self._plugins if hasattr(each, "asks")]
        self._figures = Figures()

    def asks_others(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        """Whether such a write leaves the process on its way (webhooks)."""
        return any(plugin.asks(world, resource, subresource, operation) for plugin in self._outgoing)

    async def mutate(self, request: AdmissionRequest) -> None:
        """The first phase. Raises the StatusError of the first plugin that refuses."""
        await self._phase(request, "admit")

    async def validate(self, request: AdmissionRequest) -> None:
        """The second phase. Raises the StatusError of the first plugin that refuses."""
        await self._phase(request, "validate")

    async def _phase(self, request: AdmissionRequest, phase: str) -> None:
        resource, operation = request.resource, request.operation
        key = (phase, operation, resource.group, resource.resource)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = self._concerned(phase, operation, resource)
        steps, whole = found
        now = request.context.clock.monotonic
        began = at = now()
        asked = ""
        try:
            for _ in range(2):
                for name, act, took in steps:
                    asked = name
                    await act(request)
                    before, at = at, now()
                    took.observe(at - before)
                if not request.reinvocation.wanted or request.reinvocation.again or phase == "validate":
                    break
                request.reinvocation.again = True
        except StatusError:
            ended = now()
            self._figures.of(asked, phase, operation, rejected=True).observe(ended - at)
            self._figures.of("", phase, operation, rejected=True).observe(ended - began)
            raise
        whole.observe(at - began)

    def _concerned(self, phase: str, operation: str, resource: Resource) -> tuple[list[_Step], Histogram]:
        """The plugins a resource has to do with, found out once."""
        key = (resource.group, resource.resource)
        chosen = [each for each in self._plugins if hasattr(each, phase) and concerns(each, key)]
        names = [getattr(each, "name", type(each).__name__) for each in chosen]
        of = self._figures.of
        steps = [
            (name, getattr(each, phase), of(name, phase, operation)) for name, each in zip(names, chosen, strict=True)
        ]
        return steps, of("", phase, operation)

    def families(self) -> Iterable[Family]:
        """For /metrics."""
        yield from self._figures.families()
        kinds = (MutatingWebhooks, ValidatingWebhooks)
        of_webhooks = [list(each.figures.families()) for each in self._plugins if isinstance(each, kinds)]
        for same in zip(*of_webhooks, strict=True):
            samples = [sample for family in same for sample in family.samples]
            yield Family(same[0].name, same[0].type, same[0].help, samples)

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
