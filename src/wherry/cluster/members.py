"""The nodes of one system: one node agent each, all on this machine, over one launcher and one network.

The first is called after the machine and owns the lower half of the pod range; the others are its name with `-2`, `-3` …
and share the upper half. Standard library only, the supervisor imports this.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from wherry.cluster.options import NODES_MAX, Options
from wherry.cluster.paths import State

ADDED_LABEL = "wherry.dev/added"
"""On the Node of every member but the first."""


@dataclass(frozen=True, slots=True)
class Member:
    """Number 1 is the first. `pod_range` is what its pods get addresses from, `address` the node's own."""

    number: int
    name: str
    address: str
    pod_cidr: str
    """What its Node says (spec.podCIDR, which can never change)."""
    pod_range: str

    @property
    def role(self) -> str:
        """Its process, its log and its certificate."""
        return "node-agent" if self.number == 1 else f"node-agent-{self.number}"

    @property
    def owner(self) -> str:
        """Whose sandboxes they are, as the launcher remembers; those of the first say nothing."""
        return "" if self.number == 1 else f"node/{self.name}"

    def pods(self, state: State) -> Path:
        return state.pods if self.number == 1 else state.nodes / self.name / "pods"

    def pod_logs(self, state: State) -> Path:
        return state.pod_logs if self.number == 1 else state.nodes / self.name / "logs"


def members(options: Options) -> list[Member]:
    """As many as `options.nodes`."""
    whole = ipaddress.IPv4Network(options.pod_cidr)
    lower, upper = whole.subnets(1)
    first = str(lower) if options.nodes > 1 else options.pod_cidr
    found = [Member(1, options.node_name, options.pod_gateway, options.pod_cidr, first)]
    parts = list(upper.subnets(new_prefix=upper.prefixlen + (NODES_MAX - 1).bit_length()))
    for number in range(2, options.nodes + 1):
        part = parts[number - 2]
        found.append(Member(number, f"{options.node_name}-{number}", str(part[1]), str(part), str(part)))
    return found
