"""Kubernetes' DNS specification, name by name."""

from __future__ import annotations

import socket

import pytest

from wherry.network import dns_wire as wire
from wherry.network.dns_wire import Question
from wherry.network.dns_zone import Answer, Zone
from wherry.network.services import EndpointName, ServicePort, ServiceRecord

SERVICES = {
    record.key: record
    for record in (
        ServiceRecord("shop", "web", cluster_ip="10.96.0.5",
                      ports=(ServicePort("http", "TCP", 80), ServicePort("dns", "UDP", 53)),
                      endpoints=(EndpointName("10-244-0-2", "10.244.0.2", (("http", "TCP", 8080),)),)),
        ServiceRecord("shop", "db", headless=True, endpoints=(
            EndpointName("db-0", "10.244.0.3", (("sql", "TCP", 5432),)),
            EndpointName("db-1", "10.244.0.4", (("sql", "TCP", 5432),)),
        )),
        ServiceRecord("shop", "nobody", headless=True),
        ServiceRecord("shop", "ext", external_name="www.example.com"),
        ServiceRecord("default", "kubernetes", cluster_ip="10.96.0.1", ports=(ServicePort("https", "TCP", 443),)),
    )
}  # fmt: skip
ZONE = Zone(SERVICES, frozenset({"default", "empty"}))


def ask(name: str, kind: int = wire.A) -> Answer:
    answer = ZONE.answer(Question(wire.name(name), kind))
    assert answer is not None
    return answer


def text_of(name: wire.Name) -> str:
    return b".".join(name).decode()


def ips(answer: Answer) -> list[str]:
    return [socket.inet_ntoa(record.data) for record in answer.answers]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.shop.svc.cluster.local", ["10.96.0.5"]),
        ("WEB.shop.SVC.cluster.Local", ["10.96.0.5"]),
        ("kubernetes.default.svc.cluster.local", ["10.96.0.1"]),
        ("db.shop.svc.cluster.local", ["10.244.0.3", "10.244.0.4"]),
        ("db-1.db.shop.svc.cluster.local", ["10.244.0.4"]),
        ("10-244-0-2.web.shop.svc.cluster.local", ["10.244.0.2"]),
        ("_http._tcp.web.shop.svc.cluster.local", ["10.96.0.5"]),
        ("10-244-0-9.shop.pod.cluster.local", ["10.244.0.9"]),
        ("ns.dns.cluster.local", ["10.96.0.10"]),
        ("host.wherry.internal", ["10.244.0.1"]),
    ],
)
def test_addresses(name: str, expected: list[str]) -> None:
    assert ips(ask(name)) == expected
    other = ask(name, wire.AAAA)
    assert (other.rcode, list(other.answers)) == (wire.NOERROR, [])
    assert other.authorities[0].type == wire.SOA


@pytest.mark.parametrize(
    "name",
    [
        "nope.shop.svc.cluster.local",
        "web.nowhere.svc.cluster.local",
        "nobody.shop.svc.cluster.local",
        "db-9.db.shop.svc.cluster.local",
        "_sql._tcp.web.shop.svc.cluster.local",
        "a.b.c.web.shop.svc.cluster.local",
        "10-244-0-9.nowhere.pod.cluster.local",
        "10-244-0-999.shop.pod.cluster.local",
        "web.shop.pod.cluster.local",
        "nowhere.svc.cluster.local",
        "example.com.shop.svc.cluster.local",
        "other.cluster.local",
    ],
)
def test_names_that_do_not_exist(name: str) -> None:
    answer = ask(name)
    assert answer.rcode == wire.NXDOMAIN
    assert [record.type for record in answer.authorities] == [wire.SOA]


@pytest.mark.parametrize(
    "name",
    ["cluster.local", "svc.cluster.local", "empty.svc.cluster.local", "shop.pod.cluster.local", "dns.cluster.local"],
)
def test_names_above_names_exist(name: str) -> None:
    assert ask(name).rcode == wire.NOERROR
    assert list(ask(name).answers) == []


def test_services_with_named_ports() -> None:
    answer = ask("_sql._tcp.db.shop.svc.cluster.local", wire.SRV)
    targets = [wire.decode_name(record.data, 6)[0] for record in answer.answers]
    assert [text_of(target) for target in targets] == [f"db-{n}.db.shop.svc.cluster.local" for n in (0, 1)]
    assert answer.answers[0].data[:6] == bytes.fromhex("0000 0032 1538")
    assert [socket.inet_ntoa(record.data) for record in answer.additionals] == ["10.244.0.3", "10.244.0.4"]
    (one,) = ask("_http._tcp.web.shop.svc.cluster.local", wire.SRV).answers
    assert one.data[:6] == bytes.fromhex("0000 0064 0050")
    assert len(ask("web.shop.svc.cluster.local", wire.SRV).answers) == 2


def test_addresses_have_names() -> None:
    def name_of(name: str) -> list[str]:
        return [text_of(wire.decode_name(record.data, 0)[0]) for record in ask(name, wire.PTR).answers]

    assert name_of("5.0.96.10.in-addr.arpa") == ["web.shop.svc.cluster.local"]
    assert name_of("3.0.244.10.in-addr.arpa") == ["db-0.db.shop.svc.cluster.local"]
    assert ZONE.answer(Question(wire.name("1.2.0.192.in-addr.arpa"), wire.PTR)) is None


def test_an_external_name_leads_on() -> None:
    answer = ask("ext.shop.svc.cluster.local")
    assert [record.type for record in answer.answers] == [wire.CNAME]
    assert answer.alias == (b"www", b"example", b"com")
    assert ask("ext.shop.svc.cluster.local", wire.CNAME).alias is None
    assert ask("x.ext.shop.svc.cluster.local").rcode == wire.NXDOMAIN


def test_the_zone_itself() -> None:
    assert ask("dns-version.cluster.local", wire.TXT).answers[0].data == b"\x051.1.0"
    assert ask("cluster.local", wire.SOA).answers[0].type == wire.SOA
    servers = ask("cluster.local", wire.NS)
    assert wire.decode_name(servers.answers[0].data, 0)[0] == wire.name("ns.dns.cluster.local")
    assert socket.inet_ntoa(servers.additionals[0].data) == "10.96.0.10"


def test_other_names_are_somebody_elses() -> None:
    for name in ("example.com", "local", "cluster.local.example.com", "wherry.internal"):
        assert ZONE.answer(Question(wire.name(name), wire.A)) is None
    assert ZONE.answer(Question(wire.name("web.shop.svc.cluster.local"), wire.A, 3)) is None
