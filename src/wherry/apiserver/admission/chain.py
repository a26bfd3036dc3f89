"""The plugins in their order. Each sees what those before it made of the object; the first refusal ends it.

Order as Kubernetes recommends: whether the namespace takes anything at all comes first, what it costs (quota) last.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.apiserver.admission.default_storage_class import DefaultStorageClass
from wherry.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from wherry.apiserver.admission.limit_ranger import LimitRanger
from wherry.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from wherry.apiserver.admission.priority import Priority
from wherry.apiserver.admission.request import AdmissionRequest, Plugin
from wherry.apiserver.admission.resource_quota import ResourceQuota
from wherry.apiserver.admission.runtime_class import RuntimeClass
from wherry.apiserver.admission.service_account import ServiceAccount
from wherry.apiserver.admission.storage_protection import StorageObjectInUseProtection

__all__ = ["Admission", "AdmissionRequest", "Plugin"]


class Admission:
    """The chain; without arguments, the plugins Kubernetes enables by default that Wherry has."""

    def __init__(self, plugins: Sequence[Plugin] | None = None) -> None:
        self._plugins = default_plugins() if plugins is None else tuple(plugins)

    async def admit(self, request: AdmissionRequest) -> None:
        """Raises the StatusError of the first plugin that refuses."""
        for plugin in self._plugins:
            await plugin.admit(request)


def default_plugins() -> tuple[Plugin, ...]:
    return (
        NamespaceLifecycle(),
        LimitRanger(),
        ServiceAccount(),
        Priority(),
        DefaultTolerationSeconds(),
        RuntimeClass(),
        DefaultStorageClass(),
        StorageObjectInUseProtection(),
        ResourceQuota(),
    )
