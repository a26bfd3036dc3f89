"""APIServices end to end: a server of the cluster in TLS behind our own socket, discovered, asked, lost and found again."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from proxy_world import Asked, World, plain, world

from wherry.aio.clock import RealClock
from wherry.apiserver.aggregation import aggregator
from wherry.apiserver.auth.user import User
from wherry.apiserver.in_process import InProcessTransport
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client

SERVICES = "/api/v1/namespaces/shop/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1.birds.example.com"
VERBS = ["get", "list", "create", "watch"]
PATIENCE = 60
DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "birds.example.com/v1",
    "resources": [
        {
            "name": "owls",
            "singularName": "owl",
            "namespaced": True,
            "kind": "Owl",
            "verbs": VERBS,
            "shortNames": ["ow"],
        },
        {"name": "owls/status", "singularName": "", "namespaced": True, "kind": "Owl", "verbs": ["get"]},
    ],
}

OWL, META = "com.example.birds.v1.Owl", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
SWAGGER = {
    "swagger": "2.0",
    "paths": {
        "/apis/birds.example.com/v1/owls": {
            "get": {"responses": {"200": {"schema": {"$ref": f"#/definitions/{OWL}"}}}}
        },
        "/apis/other.example.com/v1/owls": {"get": {}},
    },
    "definitions": {
        OWL: {"type": "object", "properties": {"metadata": {"$ref": f"#/definitions/{META}"}}},
        META: {"type": "object", "description": "not ours"},
        "unused": {"type": "string"},
    },
}


class Birds:
    """The server behind the APIService."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.well = True

    async def __call__(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        if not self.well:
            return plain("no", status="500 Internal Server Error")
        if asked.target == "/apis/birds.example.com/v1":
            return plain(json.dumps(DISCOVERY), "Content-Type: application/json")
        if asked.target.startswith("/openapi/v3/"):
            return plain('{"openapi":"3.0.0","info":{"title":"birds"}}', "Content-Type: application/json")
        if asked.target == "/openapi/v2":
            return plain(json.dumps(SWAGGER), "Content-Type: application/json")
        if "/owls" in asked.target:
            found = {
                "kind": "Owl",
                "apiVersion": "birds.example.com/v1",
                "metadata": {"name": "o"},
                "sent": asked.body.decode(),
            }
            return plain(json.dumps(found), "Content-Type: application/json")
        return plain("{}", status="404 Not Found")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server context for birds.shop.svc, and its authority as a caBundle has it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "birds")])
    now = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("birds.shop.svc")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context, base64.b64encode(pem).decode()


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(aggregator, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(aggregator, "RESYNC_SECONDS", 0.1)
    async with world() as made, asyncio.TaskGroup() as group:
        clock = RealClock()
        client = Client(InProcessTransport(made.app, User("system:kube-controller-manager", ("system:masters",))))
        factory = InformerFactory(client, clock, random.Random(1))
        controller = aggregator.build(made.app.core, client, factory, clock)
        tasks = [group.create_task(factory.run()), group.create_task(controller.run())]
        yield made
        for task in tasks:
            task.cancel()


async def until(cluster: World, path: str, good: Callable[[Any], bool]) -> Any:
    """The document at `path` once it is good."""
    async with asyncio.timeout(PATIENCE):
        while (reply := await cluster.ask("GET", path)).status != 200 or not good(reply.json):
            await asyncio.sleep(0.01)
    return reply.json


def reason(obj: Any) -> str:
    return next((each["reason"] for each in obj["status"].get("conditions", []) if each["type"] == "Available"), "")


async def add_server(cluster: World, birds: Birds, certified: tuple[ssl.SSLContext, str]) -> None:
    await cluster.serve("10.1.0.7", 8443, birds, ssl=certified[0])
    await cluster.create(
        SERVICES, {"metadata": {"name": "birds"}, "spec": {"ports": [{"port": 443}], "clusterIP": "None"}}
    )
    await cluster.create(SLICES, endpoints("10.1.0.7"))


def endpoints(*addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "birds-1", "labels": {"kubernetes.io/service-name": "birds"}},
        "addressType": "IPv4",
        "ports": [{"port": 8443, "name": ""}],
        "endpoints": [{"addresses": [each]} for each in addresses],
    }


def api_service(bundle: str = "", **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "group": "birds.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
    }
    spec["service"] = {"namespace": "shop", "name": "birds"}
    return {"metadata": {"name": NAME}, "spec": spec | ({"caBundle": bundle} if bundle else {}) | more}


async def test_an_api_of_another_server(cluster: World, certified: tuple[ssl.SSLContext, str]) -> None:
    birds = Birds()
    await add_server(cluster, birds, certified)
    await cluster.create(API_SERVICES, api_service(certified[1]))
    found = await until(cluster, f"{API_SERVICES}/{NAME}", lambda obj: reason(obj) == "Passed")
    assert found["status"]["conditions"][0]["message"] == "all checks passed"
    groups = (await cluster.ask("GET", "/apis")).json["groups"]
    assert next(each for each in groups if each["name"] == "birds.example.com")["preferredVersion"] == {
        "groupVersion": "birds.example.com/v1",
        "version": "v1",
    }
    assert (await cluster.ask("GET", "/apis/birds.example.com/v1")).json == DISCOVERY
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = (await cluster.ask("GET", "/apis", headers=accept)).json["items"]
    aggregated = next(each for each in items if each["metadata"]["name"] == "birds.example.com")["versions"][0]
    assert [each["resource"] for each in aggregated["resources"]] == ["owls"]
    assert aggregated["resources"][0]["subresources"][0]["subresource"] == "status"
    assert "apis/birds.example.com/v1" in (await cluster.ask("GET", "/openapi/v3")).json["paths"]
    assert (await cluster.ask("GET", "/openapi/v3/apis/birds.example.com/v1")).json["info"] == {"title": "birds"}
    swagger = (await cluster.ask("GET", "/openapi/v2")).json
    assert "/apis/birds.example.com/v1/owls" in swagger["paths"]
    assert "/apis/other.example.com/v1/owls" not in swagger["paths"]
    assert swagger["definitions"][OWL]["properties"]["metadata"] == {"$ref": f"#/definitions/{META}_v2"}
    assert swagger["definitions"][f"{META}_v2"]["description"] == "not ours"
    assert swagger["definitions"][META]["description"] != "not ours"
    assert "unused" not in swagger["definitions"]


async def test_the_server_is_told_who_asks(cluster: World, certified: tuple[ssl.SSLContext, str]) -> None:
    birds = Birds()
    await add_server(cluster, birds, certified)
    await cluster.create(API_SERVICES, api_service(certified[1]))
    await until(cluster, f"{API_SERVICES}/{NAME}", lambda obj: reason(obj) == "Passed")
    lies = {
        "X-Remote-User": "root",
        "X-Remote-Group": "system:masters",
        "X-Remote-Extra-A": "b",
        "Impersonate-User": "jane",
    }
    target = "/apis/birds.example.com/v1/namespaces/shop/owls?dryRun=All"
    refused = await cluster.ask("POST", target, {"a": 1}, headers=lies)
    assert refused.status == 403, "jane may not: our own RBAC stands before"
    lies.pop("Impersonate-User")
    reply = await cluster.ask("POST", target, {"a": 1}, headers=lies)
    assert (reply.status, reply.json["sent"]) == (200, '{"a": 1}')
    seen = birds.asked[-1]
    assert (seen.method, seen.target, seen.headers["host"]) == ("POST", target, "birds.shop.svc:443")
    assert seen.headers["x-remote-user"] == "admin"
    assert seen.headers["x-remote-group"].split("\n") == ["system:masters", "system:authenticated"]
    assert not {"authorization", "x-remote-extra-a"} & seen.headers.keys()


async def test_why_it_is_not_available(cluster: World, certified: tuple[ssl.SSLContext, str]) -> None:
    await cluster.create(API_SERVICES, api_service())
    path, target = f"{API_SERVICES}/{NAME}", "/apis/birds.example.com/v1/owls"
    found = await until(cluster, path, lambda obj: reason(obj) == "ServiceNotFound")
    assert found["status"]["conditions"][0]["message"] == 'service/birds in "shop" is not present'
    gone = await cluster.ask("GET", target)
    assert (gone.status, gone.body, gone.headers["Content-Type"]) == (
        503,
        b"service unavailable\n",
        "text/plain; charset=utf-8",
    )
    service = {"metadata": {"name": "birds"}, "spec": {"ports": [{"port": 443}], "clusterIP": "None"}}
    await cluster.create(SERVICES, service)
    await until(cluster, path, lambda obj: reason(obj) == "EndpointsNotFound")
    await cluster.create(SLICES, endpoints())
    await until(cluster, path, lambda obj: reason(obj) == "MissingEndpoints")
    await cluster.ask("DELETE", f"{SLICES}/birds-1")
    await cluster.serve("10.1.0.7", 8443, Birds(), ssl=certified[0])
    await cluster.create(SLICES, endpoints("10.1.0.7"))
    found = await until(cluster, path, lambda obj: reason(obj) == "FailedDiscoveryCheck")
    assert "x509: certificate signed by unknown authority" in found["status"]["conditions"][0]["message"]
    patch = {"spec": {"insecureSkipTLSVerify": True}}
    await cluster.ask("PATCH", path, patch, headers={"Content-Type": "application/merge-patch+json"})
    await until(cluster, path, lambda obj: reason(obj) == "Passed")


async def test_lost_and_found_again_and_gone(cluster: World, certified: tuple[ssl.SSLContext, str]) -> None:
    birds = Birds()
    await add_server(cluster, birds, certified)
    await cluster.create(API_SERVICES, api_service(certified[1]))
    path, target = f"{API_SERVICES}/{NAME}", "/apis/birds.example.com/v1/namespaces/shop/owls/o"
    await until(cluster, path, lambda obj: reason(obj) == "Passed")
    birds.well = False
    found = await until(cluster, path, lambda obj: reason(obj) == "FailedDiscoveryCheck")
    assert (
        "bad status from https://birds.shop.svc:443/apis/birds.example.com/v1: 500"
        in found["status"]["conditions"][0]["message"]
    )
    assert (await cluster.ask("GET", target)).status == 503
    assert await freshness(cluster) == "Stale"
    birds.well = True
    await until(cluster, path, lambda obj: reason(obj) == "Passed")
    assert (await cluster.ask("GET", target)).json["kind"] == "Owl"
    assert await freshness(cluster) == "Current"
    await cluster.ask("DELETE", path)
    async with asyncio.timeout(PATIENCE):
        while (await cluster.ask("GET", target)).status != 404:
            await asyncio.sleep(0.01)
    assert (await cluster.ask("GET", target)).body == b"404 page not found\n"
    assert "birds.example.com" not in (await cluster.ask("GET", "/apis")).body.decode()


async def freshness(cluster: World) -> str:
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = (await cluster.ask("GET", "/apis", headers=accept)).json["items"]
    found = next(each for each in items if each["metadata"]["name"] == "birds.example.com")
    return str(found["versions"][0]["freshness"])


async def test_local_ones_are_always_available(cluster: World) -> None:
    spec = {"group": "mine.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    made = await cluster.create(API_SERVICES, {"metadata": {"name": "v1.mine.example.com"}, "spec": spec})
    assert reason(made) == "Local"
