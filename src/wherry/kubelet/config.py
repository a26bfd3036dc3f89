"""What a kubelet is told about its node. Values only; `cluster` fills it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field

from wherry.kubelet.eviction.thresholds import DEFAULT, TRANSITION_SECONDS, Threshold, parse


class NodeConfig(Struct, frozen=True):
    """Name, directories and cluster facts of one node. Sizes in bytes, CPU in milli-cores; None means: ask the machine."""

    name: str
    pods_directory: Path
    """`<uid>/` below it holds a pod's volumes, etc files, termination messages and the runtime's writable layers."""
    logs_directory: Path
    """`<namespace>_<pod>_<uid>/<container>/<attempt>.log` below it."""
    socket: Path
    """Where the kubelet's HTTP server listens."""
    owner: str = ""
    """Whose pods' sandboxes are, where several kubelets share one runtime (`cri.interface.OWNER_LABEL`)."""
    address: str = "10.244.0.1"
    """InternalIP: the node end of the pod range, reachable from every pod."""
    kubelet_version: str = "v1.36.0"
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster_dns: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    host_resolv_conf: Path = Path("/etc/resolv.conf")
    cpu_millis: int | None = None
    memory_bytes: int | None = None
    max_pods: int = 110  # kubelet's own default
    pod_cidr: str = "10.244.0.0/24"
    eviction: tuple[Threshold, ...] = parse(DEFAULT)
    """From where on pods are ended so that others can stay."""
    eviction_transition_seconds: float = TRANSITION_SECONDS
    """How long a pressure is said after it was seen last."""
    injected: Callable[[], Mapping[str, int]] = dict
    """What a fault made on purpose leaves, by eviction signal; whatever the machine has."""
    strict: bool = False
    """Refuse a pod that asks for what this tier cannot enforce, instead of running it with an event and a condition."""

    def pod_directory(self, uid: str) -> Path:
        return self.pods_directory / uid

    def log_directory(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs_directory / f"{namespace}_{name}_{uid}"
