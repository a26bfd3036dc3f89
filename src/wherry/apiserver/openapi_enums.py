"""Fields that take one of a few words, as documented: what `kubectl explain` lists under ENUM.

The published definitions do not say which words; validation in the registry does not read this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_PULL: Final = ("Always", "IfNotPresent", "Never")
_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_MESSAGES: Final = ("FallbackToLogsOnError", "File")
_RECLAIM: Final = ("Delete", "Recycle", "Retain")
_PREEMPTION: Final = ("Never", "PreemptLowerPriority")
_MODES: Final = ("Block", "Filesystem")
_ACCESS: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_CORE: Final = "io.k8s.api.core.v1."

ENUMS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    **{
        f"{_CORE}{name}": {"imagePullPolicy": _PULL, "terminationMessagePolicy": _MESSAGES}
        for name in ("Container", "EphemeralContainer")
    },
    f"{_CORE}ContainerPort": {"protocol": _PROTOCOLS},
    f"{_CORE}EndpointPort": {"protocol": _PROTOCOLS},
    f"{_CORE}HTTPGetAction": {"scheme": ("HTTP", "HTTPS")},
    f"{_CORE}NamespaceStatus": {"phase": ("Active", "Terminating")},
    f"{_CORE}NodeSelectorRequirement": {"operator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")},
    f"{_CORE}PersistentVolumeClaimSpec": {"accessModes[]": _ACCESS, "volumeMode": _MODES},
    f"{_CORE}PersistentVolumeClaimStatus": {"accessModes[]": _ACCESS, "phase": ("Bound", "Lost", "Pending")},
    f"{_CORE}PersistentVolumeSpec": {
        "accessModes[]": _ACCESS,
        "persistentVolumeReclaimPolicy": _RECLAIM,
        "volumeMode": _MODES,
    },
    f"{_CORE}PersistentVolumeStatus": {"phase": ("Available", "Bound", "Failed", "Pending", "Released")},
    f"{_CORE}PodSpec": {
        "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": _PREEMPTION,
        "restartPolicy": ("Always", "Never", "OnFailure"),
    },
    f"{_CORE}PodStatus": {
        "phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
        "qosClass": ("BestEffort", "Burstable", "Guaranteed"),
    },
    f"{_CORE}SeccompProfile": {"type": ("Localhost", "RuntimeDefault", "Unconfined")},
    f"{_CORE}ServicePort": {"protocol": _PROTOCOLS},
    f"{_CORE}ServiceSpec": {
        "externalTrafficPolicy": ("Cluster", "Local"),
        "internalTrafficPolicy": ("Cluster", "Local"),
        "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
        "sessionAffinity": ("ClientIP", "None"),
        "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    },
    f"{_CORE}Taint": {"effect": _EFFECTS},
    f"{_CORE}Toleration": {"effect": _EFFECTS},
    f"{_CORE}TopologySpreadConstraint": {
        "nodeAffinityPolicy": ("Honor", "Ignore"),
        "nodeTaintsPolicy": ("Honor", "Ignore"),
        "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    },
    f"{_CORE}VolumeMount": {"mountPropagation": ("Bidirectional", "HostToContainer", "None")},
    "io.k8s.api.apps.v1.DaemonSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "io.k8s.api.apps.v1.DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
    "io.k8s.api.apps.v1.StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "io.k8s.api.batch.v1.CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
    "io.k8s.api.batch.v1.JobSpec": {
        "completionMode": ("Indexed", "NonIndexed"),
        "podReplacementPolicy": ("Failed", "TerminatingOrFailed"),
    },
    "io.k8s.api.discovery.v1.EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    "io.k8s.api.networking.v1.HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": _PROTOCOLS},
    "io.k8s.api.networking.v1.NetworkPolicySpec": {"policyTypes[]": ("Egress", "Ingress")},
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")},
    "io.k8s.api.scheduling.v1.PriorityClass": {"preemptionPolicy": _PREEMPTION},
    "io.k8s.api.storage.v1.StorageClass": {
        "reclaimPolicy": _RECLAIM,
        "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
    },
}
"""Definition to field to words, sorted; `field[]` means the elements of a list."""
