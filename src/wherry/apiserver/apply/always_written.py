"""Fields that a Kubernetes client written in Go has even when nobody set them, with what they are then.

Such a field never appears or disappears: `spec` of a new Deployment is not "added" (only what is in it), and an Event
whose `source` is empty says nothing about it. Go's rule: structs that are no pointers, and whatever has no `omitempty`.
The published schemas tell the second part (required fields); structs that are no pointers are listed here, read from the
types of k8s.io/api.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api.schema import Schema

_EVERYWHERE: Final = frozenset({"metadata", "spec", "status"})
_POINTERS_ALL_THE_SAME: Final = frozenset({("CustomResourceSubresources", "status")})
_STRUCTS: Final = frozenset(
    {
        ("AllocationResult", "devices"), ("Container", "resources"), ("ContainerStatus", "lastState"),
        ("ContainerStatus", "state"), ("CronJobSpec", "jobTemplate"), ("CustomResourceDefinitionSpec", "names"),
        ("CustomResourceDefinitionStatus", "acceptedNames"), ("DaemonSetSpec", "template"),
        ("DaemonSetSpec", "updateStrategy"), ("DeploymentSpec", "strategy"), ("DeploymentSpec", "template"),
        ("Endpoint", "conditions"), ("EphemeralContainer", "resources"), ("Event", "deprecatedSource"),
        ("Event", "involvedObject"), ("Event", "regarding"), ("Event", "source"),
        ("FlowSchemaSpec", "priorityLevelConfiguration"), ("HorizontalPodAutoscalerSpec", "scaleTargetRef"),
        ("IngressStatus", "loadBalancer"), ("JobSpec", "template"), ("LimitedPriorityLevelConfiguration", "limitResponse"),
        ("MutatingWebhook", "clientConfig"), ("NetworkPolicySpec", "podSelector"), ("NodeDaemonEndpoints", "kubeletEndpoint"),
        ("NodeStatus", "daemonEndpoints"), ("NodeStatus", "nodeInfo"), ("PersistentVolumeClaimSpec", "resources"),
        ("PodTemplate", "template"), ("ReplicaSetSpec", "template"), ("ResourceClaimSpec", "devices"),
        ("ResourceSliceSpec", "pool"), ("ServiceStatus", "loadBalancer"), ("StatefulSetSpec", "template"),
        ("StatefulSetSpec", "updateStrategy"), ("ValidatingWebhook", "clientConfig"), ("VolumeAttachmentSpec", "source"),
    }
)  # fmt: skip
_OPTIONAL_AND_WRITTEN: Final[dict[tuple[str, str], Any]] = {
    ("Event", "reportingComponent"): "",
    ("Event", "reportingInstance"): "",
    ("StatefulSetSpec", "serviceName"): "",
    ("RoleRef", "apiGroup"): "",
    ("FlowSchemaSpec", "matchingPrecedence"): 0,
    ("PriorityClass", "value"): 0,
    ("PodDisruptionBudgetStatus", "currentHealthy"): 0,
    ("PodDisruptionBudgetStatus", "desiredHealthy"): 0,
    ("PodDisruptionBudgetStatus", "disruptionsAllowed"): 0,
    ("PodDisruptionBudgetStatus", "expectedPods"): 0,
    ("StatefulSetStatus", "availableReplicas"): 0,
    ("ScaleSpec", "replicas"): 0,
}
"""Beyond the required ones; their schemas call them optional."""
_ZEROS: Final[dict[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": False, "quantity": "0"}
BUILT_IN: Final = "io.k8s."


def zeros(schema: Schema) -> dict[str, Any]:
    """field -> its value when nobody set it. Custom resources have no such fields."""
    if not schema.ref.startswith(BUILT_IN) or schema.fields is None:
        return {}
    kind = schema.ref.rpartition(".")[2]
    found: dict[str, Any] = {}
    for name, child in schema.fields.items():
        at = (kind, name)
        if at in _OPTIONAL_AND_WRITTEN:
            found[name] = _OPTIONAL_AND_WRITTEN[at]
        elif at in _STRUCTS or (name in _EVERYWHERE and child.fields and at not in _POINTERS_ALL_THE_SAME):
            found[name] = {}
        elif name in schema.required and not child.fields:
            found[name] = _ZEROS.get(child.type) if child.format != "date-time" else None
    return found
