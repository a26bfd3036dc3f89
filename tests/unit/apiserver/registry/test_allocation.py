"""Cluster IPs and node ports: unique, bounded, released, rebuilt."""

from __future__ import annotations

import random

import pytest
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.resources import SERVICES
from wherry.api.types import Obj
from wherry.apiserver.registry.allocation import NODE_PORTS, SERVICE_IPS, NodePorts, ServiceIPs, service_allocators


def test_a_range_is_given_out_completely_and_once() -> None:
    ips = ServiceIPs("10.0.0.0/28", random.Random(1))
    taken = {ips.allocate() for _ in range(14)}
    assert len(taken) == 14
    assert "10.0.0.0" not in taken
    assert "10.0.0.15" not in taken
    with pytest.raises(ValueError, match="range is full"):
        ips.allocate()
    ips.release("10.0.0.7")
    assert ips.allocate() == "10.0.0.7"


def test_the_lower_band_is_for_those_who_ask_for_it() -> None:
    ips = ServiceIPs("10.96.0.0/16", random.Random(2))
    assert all(not ips.allocate().startswith("10.96.0.") for _ in range(500))
    assert ips.allocate("10.96.0.10") == "10.96.0.10"


@pytest.mark.parametrize("wanted", ["10.97.0.1", "fd00::1"])
def test_outside_the_range(wanted: str) -> None:
    with pytest.raises(ValueError, match="does not match the current range"):
        ServiceIPs("10.96.0.0/16", random.Random(1)).allocate(wanted)


@pytest.mark.parametrize("wanted", ["10.96.0.0", "10.96.255.255"])
def test_an_address_that_is_nobodys_to_have(wanted: str) -> None:
    text = rf"the provided IP \({wanted}\) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
    with pytest.raises(ValueError, match=text):
        ServiceIPs("10.96.0.0/16", random.Random(1)).allocate(wanted)


def test_node_ports_in_use_and_out_of_range() -> None:
    ports = NodePorts(30000, 30003, random.Random(1))
    ports.allocate("30001")
    with pytest.raises(ValueError, match="provided port is already allocated"):
        ports.allocate("30001")
    with pytest.raises(ValueError, match="The range of valid ports is 30000-30003"):
        ports.allocate("29999")
    ports.release("1")


def test_rebuilt_from_what_is_stored() -> None:
    stored: list[Obj] = [
        {
            "spec": {
                "clusterIPs": ["10.96.0.10"],
                "ports": [{"nodePort": 30053}, {"nodePort": 30053, "protocol": "UDP"}],
            }
        },
        {"spec": {"clusterIPs": ["None"]}},
        {"spec": {"type": "ExternalName"}},
        {"spec": {"clusterIPs": ["192.168.0.1"], "healthCheckNodePort": 30100}},
    ]
    allocators = service_allocators(stored, random.Random(1))
    for name, value in ((SERVICE_IPS, "10.96.0.10"), (NODE_PORTS, "30053"), (NODE_PORTS, "30100")):
        with pytest.raises(ValueError, match="already allocated"):
            allocators[name].allocate(value)


def service(name: str, **spec: object) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def held(world: World) -> tuple[int, int]:
    ips, ports = world.allocators[SERVICE_IPS], world.allocators[NODE_PORTS]
    return ips.held, ports.held


async def test_a_refused_service_gives_everything_back(world: World) -> None:
    with pytest.raises(StatusError):
        await world.create(SERVICES, service("s", type="NodePort", selector={"a b": "c"}), NAMESPACE)
    await world.create(SERVICES, service("dry", type="NodePort"), NAMESPACE, dry_run=True)
    assert held(world) == (0, 0)


async def test_the_same_number_for_two_protocols_of_one_service(world: World) -> None:
    ports = [
        {"name": "dns", "port": 53, "nodePort": 30053},
        {"name": "dns-udp", "port": 53, "protocol": "UDP", "nodePort": 30053},
    ]
    made, _ = await world.create(SERVICES, service("dns", type="NodePort", ports=ports), NAMESPACE)
    assert [port["nodePort"] for port in made["spec"]["ports"]] == [30053, 30053]
    assert held(world) == (1, 1)


async def test_a_deleted_service_releases(world: World) -> None:
    await world.create(SERVICES, service("s", type="LoadBalancer", externalTrafficPolicy="Local"), NAMESPACE)
    assert held(world) == (1, 2)
    registry = world.registries[SERVICES]
    await registry.delete(NAMESPACE, "s", {}, world.write(registry.resource, NAMESPACE, "", "s", False))
    assert held(world) == (0, 0)


async def test_a_change_of_type_releases_and_takes(world: World) -> None:
    made, _ = await world.create(SERVICES, service("s", type="NodePort"), NAMESPACE)
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    registry = world.registries[SERVICES]

    async def become(**spec: object) -> Obj:
        write = world.write(registry.resource, NAMESPACE, "", "s", False)
        result = await registry.update(
            NAMESPACE, "s", lambda old: world.decode(registry.resource, {**old, "spec": {**old["spec"], **spec}}), write
        )
        spec_now: Obj = result.value["spec"]
        return spec_now

    spec = await become(type="ClusterIP")
    assert (spec["clusterIP"], spec["ports"][0].get("nodePort")) == (address, None)
    assert held(world) == (1, 0)
    spec = await become(type="ExternalName", externalName="example.com")
    assert "clusterIP" not in spec
    assert held(world) == (0, 0)
    spec = await become(type="NodePort", clusterIP=address, ports=[{"port": 80, "nodePort": port}])
    assert (spec["clusterIP"], spec["ports"][0]["nodePort"]) == (address, port)
    assert held(world) == (1, 1)
