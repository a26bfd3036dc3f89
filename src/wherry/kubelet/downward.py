"""The downward API: values of a pod's own fields and of its containers' resources. Pure.

Paths and defaults by Kubernetes' "Downward API" page; a missing limit reads as what the node has.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.quality import milli_cpu, quantity, size_bytes

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class NodeFacts(Struct, frozen=True):
    """What a pod may ask about where it runs. CPU in milli-cores, sizes in bytes."""

    name: str
    address: str
    cpu_millis: int
    memory_bytes: int
    storage_bytes: int = 0


def field_value(pod: Obj, path: str, node: NodeFacts, pod_address: str) -> str:
    """The value of a fieldRef. Raises ValueError for a path the downward API does not have."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = _SUBSCRIPT.match(path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName") or node.name,
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": node.address,
        "status.hostIPs": node.address,
        "status.podIP": pod_address,
        "status.podIPs": pod_address,
    }
    if path in values:
        return str(values[path])
    if path in ("metadata.labels", "metadata.annotations"):
        return _format_map(metadata.get(path.removeprefix("metadata.")) or {})
    raise ValueError(f"unsupported fieldPath: {path}")


def resource_value(pod: Obj, reference: Obj, container: Obj, node: NodeFacts) -> str:
    """The value of a resourceFieldRef in units of its divisor, rounded up. Raises ValueError."""
    name = reference.get("containerName")
    if name:
        found = pod_spec.find_container(pod, name)
        if found is None:
            raise ValueError(f"container {name} not found")
        container = found
    resource = str(reference["resource"])
    kind, _, what = resource.partition(".")
    if kind not in ("limits", "requests") or not what:
        raise ValueError(f"unsupported container resource : {resource}")
    amounts = (container.get("resources") or {}).get(kind) or {}
    divisor = reference.get("divisor") or "1"
    divisor = "1" if str(divisor) == "0" else divisor
    if what == "cpu":
        amount = milli_cpu(amounts["cpu"]) if "cpu" in amounts else (node.cpu_millis if kind == "limits" else 0)
        return str(math.ceil(amount / max(milli_cpu(divisor), 1)))
    if what in amounts:
        size = size_bytes(amounts[what])
    elif kind == "limits":
        size = {"memory": node.memory_bytes, "ephemeral-storage": node.storage_bytes}.get(what, 0)
    else:
        size = 0
    return str(math.ceil(size / max(int(quantity(divisor).value()), 1)))


def _format_map(values: dict[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(values.items()))


def _quoted(value: str) -> str:
    """Go's strconv.Quote for the characters that labels and annotations hold."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    inner = "".join(escapes.get(char, char if char.isprintable() else f"\\u{ord(char):04x}") for char in str(value))
    return f'"{inner}"'
