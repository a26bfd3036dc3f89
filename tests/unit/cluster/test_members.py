from __future__ import annotations

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest

from wherry.cluster import system
from wherry.cluster.members import members
from wherry.cluster.options import NODES_MAX, OptionError, Options
from wherry.cluster.paths import State


def test_one_node_has_everything() -> None:
    (only,) = members(Options(node="here"))
    assert (only.name, only.role, only.owner) == ("here", "node-agent", "")
    assert (only.pod_cidr, only.pod_range) == ("10.244.0.0/16", "10.244.0.0/16")


@pytest.mark.parametrize("pod_cidr", ["10.244.0.0/16", "10.0.0.0/12", "192.168.7.0/24"])
def test_several_share_the_range(pod_cidr: str) -> None:
    found = members(Options(node="here", pod_cidr=pod_cidr, nodes=NODES_MAX))
    assert [each.name for each in found][:3] == ["here", "here-2", "here-3"]
    assert len({(each.role, each.owner, each.address) for each in found}) == NODES_MAX
    ranges = [ipaddress.ip_network(each.pod_range) for each in found]
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))
    for each, inside in zip(found, ranges, strict=True):
        assert inside.subnet_of(ipaddress.ip_network(pod_cidr))
        assert ipaddress.ip_address(each.address) in inside
        assert inside.num_addresses >= 8


def test_the_first_keeps_what_it_said() -> None:
    """A Node's podCIDR can never change; adding nodes only takes addresses away that it has not given out yet."""
    one, several = members(Options(node="here"))[0], members(Options(node="here", nodes=3))[0]
    assert one.pod_cidr == several.pod_cidr
    assert ipaddress.ip_network(several.pod_range)[0] == ipaddress.ip_network(one.pod_range)[0]


def test_each_has_directories_of_its_own(tmp_path: Path) -> None:
    state = State(tmp_path)
    found = members(Options(node="here", nodes=3))
    assert len({path for each in found for path in (each.pods(state), each.pod_logs(state))}) == 6
    assert found[0].pods(state) == state.pods


def test_a_process_for_each(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.prepare()
    state.tier.write_text("ns-root")
    roles = {role.name: role.argv for role in system.roles(state, Options(node="here", nodes=2))}
    assert roles["node-agent"][-2:] == ["--node", "1"]
    assert roles["node-agent-2"][-2:] == ["--node", "2"]
    assert members(Options(nodes=2))[1].address in roles["launcher"]
    Options(nodes=3).save(state.config)
    assert system.agents(state) == ["node-agent", "node-agent-2", "node-agent-3"]


@pytest.mark.parametrize("nodes", [0, -1, NODES_MAX + 1])
def test_numbers_that_make_no_sense(nodes: int) -> None:
    with pytest.raises(OptionError, match=f"--nodes {nodes}: must be between 1 and {NODES_MAX}"):
        Options().with_(nodes=nodes)


def test_simulated_numbers_that_make_no_sense() -> None:
    with pytest.raises(OptionError, match="--simulated-nodes 10001: must be between 0 and 10000"):
        Options().with_(simulated_nodes=10001)
