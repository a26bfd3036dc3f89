"""Which strategy belongs to which resource; kinds not named here get the generic one.

The table holds the stored version of a kind; other served versions of the same kind share its rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.registry.config_map import ConfigMapStrategy
from wherry.apiserver.registry.deployment import DeploymentStrategy
from wherry.apiserver.registry.namespace import NamespaceStrategy
from wherry.apiserver.registry.pod import PodStrategy
from wherry.apiserver.registry.replica_set import ReplicaSetStrategy, ReplicationControllerStrategy
from wherry.apiserver.registry.secret import SecretStrategy
from wherry.apiserver.registry.service import ServiceStrategy
from wherry.apiserver.registry.service_account import ServiceAccountStrategy
from wherry.apiserver.registry.strategy import Strategy

STRATEGIES: Mapping[tuple[str, str], type[Strategy]] = {
    ("", "configmaps"): ConfigMapStrategy,
    ("", "namespaces"): NamespaceStrategy,
    ("", "pods"): PodStrategy,
    ("", "replicationcontrollers"): ReplicationControllerStrategy,
    ("", "secrets"): SecretStrategy,
    ("", "serviceaccounts"): ServiceAccountStrategy,
    ("", "services"): ServiceStrategy,
    ("apps", "deployments"): DeploymentStrategy,
    ("apps", "replicasets"): ReplicaSetStrategy,
}
"""(group, plural) -> strategy."""


def strategies(scheme: Scheme) -> Mapping[GVR, Strategy]:
    """One strategy per resource of the scheme."""
    return {
        gvr: STRATEGIES.get((gvr.group, gvr.resource), Strategy)(resource) for gvr, resource in scheme.resources.items()
    }
