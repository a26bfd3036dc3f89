"""The type names that error messages of Kubernetes' decoder contain; clients and their users search for these texts."""

from __future__ import annotations

from typing import Any, Final

from wherry.api.schema import Schema

# Strings with a type of their own, by struct and field: the published definitions only say "string".
_NAMED: Final = {
    ("Container", "imagePullPolicy"): "v1.PullPolicy",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("ContainerPort", "protocol"): "v1.Protocol",
    ("DaemonSetUpdateStrategy", "type"): "v1.DaemonSetUpdateStrategyType",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy"): "v1.PersistentVolumeReclaimPolicy",
    ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy",
    ("PodStatus", "phase"): "v1.PodPhase",
    ("Secret", "type"): "v1.SecretType",
    ("ServicePort", "protocol"): "v1.Protocol",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("StatefulSetSpec", "podManagementPolicy"): "v1.PodManagementPolicyType",
    ("StatefulSetUpdateStrategy", "type"): "v1.StatefulSetUpdateStrategyType",
    ("Taint", "effect"): "v1.TaintEffect",
    ("Toleration", "effect"): "v1.TaintEffect",
    ("Toleration", "operator"): "v1.TolerationOperator",
}


def go_type(schema: Schema, struct: str, field: str) -> str:
    """`int32`, `[]v1.Container`, `map[string]string`: what the decoder wanted at this place."""
    match schema.type:
        case "array":
            items = schema.items
            return f"[]{go_type(items, '', '')}" if items is not None else "[]interface {}"
        case "object" if schema.ref:
            (package, _, name) = schema.ref.rpartition(".")
            return f"{package.rpartition('.')[2]}.{name}"
        case "object":
            values = schema.values
            if values is None:
                return "map[string]interface {}"
            return "v1.ResourceList" if values.type == "quantity" else f"map[string]{go_type(values, '', '')}"
        case "integer":
            return schema.format or "int64"
        case "int-or-string":
            return "int32"
        case "boolean":
            return "bool"
        case "number":
            return "float64"
        case "string" if schema.format == "byte":
            return "[]uint8"
        case _:
            return _NAMED.get((struct, field), "string")


def kind_of(value: Any, schema: Schema) -> str:
    """`string`, `bool`, `object`; a number that does not fit a number is named with its digits."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return f"number {value!r}" if schema.type in ("integer", "int-or-string") else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
