"""Every option of a system, its default and the reason; written to the state directory at the first start.

What is chosen at the first start (address ranges, Kubernetes version) cannot change while the state lives: addresses are
in stored objects. `Options.load` therefore prefers what is written.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from wherry.aio.durations import seconds
from wherry.cluster import private

KUBERNETES_VERSIONS = tuple(f"1.{minor}" for minor in range(25, 38))
TIERS = ("ns-root", "ns-user", "proc")
FIXED = ("name", "pod_cidr", "service_cidr", "service_domain", "node")
"""Chosen at the first start for good: stored objects hold addresses and names made of them."""

NODES_MAX = 8
"""Each is a process of its own that thinks the whole machine is its; a laptop has no use for more."""
SIMULATED_NODES_MAX = 10_000
"""Twice as many as Kubernetes supports."""


class OptionError(ValueError):
    """An option has a value that cannot work; the text names the option, the value and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """One system's options."""

    name: str = "default"
    kubernetes_version: str = "1.36"  # the release the reference facts were recorded from
    port: int = 6443  # kubeadm's port; the next free one is taken when it is not free at the first start
    address: str = "127.0.0.1"
    pod_cidr: str = "10.244.0.0/16"  # kubeadm and kind users know these ranges
    service_cidr: str = "10.96.0.0/16"
    service_domain: str = "cluster.local"
    tier: str = ""  # empty: the best that works here
    node: str = ""  # empty: the host name
    node_port_address: str = "0.0.0.0"  # Kubernetes opens node ports on every address of the node
    nodes: int = 1  # node agents on this machine, each a Node with pods of its own
    simulated_nodes: int = 0  # nodes that only pretend to run pods, beside the real one
    audit_policy: str = ""  # JSON of an audit.k8s.io/v1 Policy; empty: no audit log, which costs nothing
    scheduler_config: str = ""  # JSON of a KubeSchedulerConfiguration; empty: one profile, kube-scheduler's default
    eviction_hard: str = ""  # as of the kubelet; empty: its defaults, of the disk less (kubelet/eviction/thresholds.py)
    eviction_pressure_transition_period: str = "5m"  # the kubelet's
    hpa_sync_seconds: float = 1.0  # Kubernetes' 15 s is for thousands of objects; here a metric is a second old

    @property
    def context(self) -> str:
        """Name of the kubeconfig context, cluster and user."""
        return "wherry" if self.name == "default" else f"wherry-{self.name}"

    @property
    def node_name(self) -> str:
        return self.node or node_name_of(socket.gethostname())

    @property
    def api_service_ip(self) -> str:
        """The first address of the service range: Service default/kubernetes."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_service_ip(self) -> str:
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def pod_gateway(self) -> str:
        """The node's own address in the pod range."""
        return str(ipaddress.ip_network(self.pod_cidr)[1])

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.port}"

    def check(self) -> Options:
        """Itself, or OptionError."""
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", self.name):
            raise OptionError(f"--name {self.name!r}: use lower-case letters, digits and '-', at most 42 characters")
        if self.kubernetes_version not in KUBERNETES_VERSIONS:
            raise OptionError(
                f"--kubernetes-version {self.kubernetes_version!r}: choose one of {', '.join(KUBERNETES_VERSIONS)}"
            )
        if self.tier and self.tier not in TIERS:
            raise OptionError(f"--tier {self.tier!r}: choose one of {', '.join(TIERS)}")
        if not 0 < self.port < 65536:
            raise OptionError(f"--port {self.port}: must be between 1 and 65535, inclusive")
        if not 1 <= self.nodes <= NODES_MAX:
            raise OptionError(f"--nodes {self.nodes}: must be between 1 and {NODES_MAX}")
        if not 0 <= self.simulated_nodes <= SIMULATED_NODES_MAX:
            raise OptionError(f"--simulated-nodes {self.simulated_nodes}: must be between 0 and {SIMULATED_NODES_MAX}")
        if self.eviction_hard:
            _check_thresholds(self.eviction_hard)
        try:
            seconds(self.eviction_pressure_transition_period)
        except ValueError as error:
            raise OptionError(f"--eviction-pressure-transition-period {error}") from None
        for option, value in (("--pod-cidr", self.pod_cidr), ("--service-cidr", self.service_cidr)):
            try:
                network = ipaddress.ip_network(value)
            except ValueError as error:
                raise OptionError(f"{option} {value!r}: {error}") from None
            if network.version != 4 or not 12 <= network.prefixlen <= 24:
                raise OptionError(f"{option} {value!r}: must be an IPv4 range between /12 and /24")
        if ipaddress.ip_network(self.pod_cidr).overlaps(ipaddress.ip_network(self.service_cidr)):
            raise OptionError(
                f"--pod-cidr {self.pod_cidr} overlaps --service-cidr {self.service_cidr}: choose two ranges"
            )
        return self

    @classmethod
    def load(cls, path: Path) -> Options | None:
        """What an earlier start wrote; None when there was none."""
        try:
            written: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in written.items() if key in known})

    def save(self, path: Path) -> None:
        """Write atomically: a reader sees the old options or the new ones."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.write(path, json.dumps(asdict(self), indent=2) + "\n")

    def refuse_changes(self, wanted: Options, *, running: bool) -> None:
        """Raises OptionError when `wanted` differs from these, the written ones, in what cannot change (now)."""
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(wanted, field.name)
            if before == after or not (running or field.name in FIXED):
                continue
            option = f"--{field.name.replace('_', '-')}"
            if field.name in FIXED:
                raise OptionError(
                    f"{option} {_shown(after)}: this system was first started with {before}, and stored objects depend on it; "
                    f"give another --name, or `wherry down --delete` first"
                )
            runs = _shown(before) or "its default"
            raise OptionError(f"{option} {_shown(after)}: the system runs with {runs}; `wherry down` first")

    def with_(self, **changes: Any) -> Options:
        """A copy with every change that is not None."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None}).check()


def _shown(value: Any) -> str:
    """A whole policy is no help in a message."""
    text = str(value) if value else ""
    return text if len(text) <= 80 else f"{text[:77]}..."


def node_name_of(hostname: str) -> str:
    """A DNS-1123 subdomain from a host name, as kubelet takes it: lower case; `wherry` when nothing is left."""
    name = re.sub(r"[^a-z0-9.-]+", "-", hostname.lower()).strip("-.")[:63].rstrip("-.")
    return name or "wherry"


def _check_thresholds(text: str) -> None:
    from wherry.kubelet.eviction.thresholds import BadThreshold, parse  # what the supervisor would carry for nothing

    try:
        parse(text)
    except BadThreshold as error:
        raise OptionError(f"--eviction-hard: {error}") from None
