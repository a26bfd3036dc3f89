from __future__ import annotations

from typing import Any

import msgspec

from wherry.api.types import Obj
from wherry.network.services import Backend, EndpointName, ServiceRecord, resolve


def service(**spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec},
    }


def slice_(*endpoints: Obj, port: int = 8080, name: str = "http", kind: str = "IPv4") -> Obj:
    return {
        "addressType": kind,
        "endpoints": list(endpoints),
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
    }


def endpoint(ip: str, *, node: str = "n1", hostname: str = "", **conditions: bool) -> Obj:
    made: Obj = {"addresses": [ip], "conditions": conditions, "nodeName": node}
    return {**made, "hostname": hostname} if hostname else made


def targets(record: ServiceRecord) -> list[tuple[str, int]]:
    return [tuple(backend) for backend in record.ports[0].backends]


def test_endpoints_of_all_slices_by_port_name() -> None:
    record = resolve(
        service(),
        [
            slice_(endpoint("10.244.0.3", ready=True), endpoint("10.244.0.2")),
            slice_(endpoint("10.244.0.4", ready=True), port=9090),
            slice_(endpoint("10.244.0.9", ready=True), name="metrics"),
            slice_(endpoint("fd00::1", ready=True), kind="IPv6"),
        ],
    )
    assert targets(record) == [("10.244.0.2", 8080), ("10.244.0.3", 8080), ("10.244.0.4", 9090)]
    assert record.key == "shop/web"
    assert EndpointName("10-244-0-9", "10.244.0.9", (("metrics", "TCP", 8080),)) in record.endpoints


def test_terminating_endpoints_serve_only_when_nobody_else_does() -> None:
    going = endpoint("10.244.0.2", ready=False, serving=True, terminating=True)
    gone = endpoint("10.244.0.3", ready=False, serving=False, terminating=True)
    starting = endpoint("10.244.0.4", ready=False, serving=False, terminating=False)
    assert targets(resolve(service(), [slice_(going, gone, starting)])) == [("10.244.0.2", 8080)]
    ready = endpoint("10.244.0.5", ready=True)
    assert targets(resolve(service(), [slice_(going, gone, ready)])) == [("10.244.0.5", 8080)]
    assert resolve(service(), [slice_(gone)]).ports[0].backends == ()


def test_local_policies_choose_by_node() -> None:
    slices = [slice_(endpoint("10.244.0.2", node="n1"), endpoint("10.244.0.3", node="n2"))]
    inside = resolve(service(internalTrafficPolicy="Local"), slices, "n1").ports[0]
    assert inside.backends == (Backend("10.244.0.2", 8080),)
    assert len(inside.through_node) == 2
    outside = resolve(service(externalTrafficPolicy="Local"), slices, "n2").ports[0]
    assert len(outside.backends) == 2
    assert outside.through_node == (Backend("10.244.0.3", 8080),)


def test_kinds_of_services() -> None:
    headless = resolve(service(clusterIP="None"), [slice_(endpoint("10.244.0.2", hostname="web-0"))])
    assert headless.headless
    assert headless.cluster_ip == ""
    assert headless.endpoints[0].host == "web-0"
    external = resolve(service(type="ExternalName", externalName="db.example.com"), [])
    assert external == ServiceRecord("shop", "web", external_name="db.example.com")
    balancer = {**service(externalIPs=["192.0.2.1"]), "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}}}
    assert resolve(balancer, []).addresses == ("192.0.2.1", "192.0.2.2")


def test_unknown_protocols_are_named_not_served() -> None:
    record = resolve(
        service(ports=[{"name": "signal", "port": 38412, "protocol": "SCTP"}], sessionAffinity="ClientIP"), []
    )
    assert record.ports == ()
    assert record.unsupported == ("signal/SCTP",)
    assert record.sticky


def test_a_record_survives_the_way_to_netd() -> None:
    record = resolve(service(), [slice_(endpoint("10.244.0.2"))])
    assert msgspec.json.decode(msgspec.json.encode(record), type=ServiceRecord) == record
