"""A new cluster's objects: valid, made once, repaired where Kubernetes repairs, left alone otherwise."""

from __future__ import annotations

import random

import pytest

from wherry.aio.clock import ManualClock
from wherry.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, SERVICES, STORAGE_CLASSES
from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.bootstrap.ensure import ensure, with_missing_grants
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects, rbac_objects
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.registry.allocation import service_allocators
from wherry.client.rest import Client
from wherry.storage.memory import MemoryStorage

NOW = "2026-01-01T00:00:00Z"
FLOW_SCHEMAS = GVR("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")


@pytest.fixture(scope="module")
def key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def client(scheme: Scheme, key: bytes) -> Client:
    rng = random.Random(1)
    options = Options(service_account_key=key, allocators=service_allocators([], rng))
    app = App(scheme, MemoryStorage(), ManualClock(), rng, options)
    return Client(InProcessTransport(app, User("bootstrap", (MASTERS,))))


@pytest.mark.parametrize("version", ["1.25", "1.36", "1.37"])
async def test_made_once_and_then_only_looked_at(version: str, key: bytes) -> None:
    scheme = Scheme.load(version)
    api = client(scheme, key)
    objects = bootstrap_objects(
        BootstrapOptions(
            NOW, scheme, storage_provisioner="wherry.dev/directory", endpoint_address="10.244.0.1", client_ca="CA"
        )
    )
    assert await ensure(api, scheme, objects) >= len(objects)
    assert await ensure(api, scheme, objects) == 0
    names = {item["metadata"]["name"] for item in (await api.list(NAMESPACES))["items"]}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    kubernetes = await api.get(SERVICES, "kubernetes", "default")
    assert kubernetes["spec"]["clusterIPs"] == ["10.96.0.1"]
    standard = await api.get(STORAGE_CLASSES, "standard")
    assert standard["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert standard["allowVolumeExpansion"] is True


async def test_statuses_are_written_too(key: bytes) -> None:
    scheme = Scheme.load("1.36")
    api = client(scheme, key)
    await ensure(api, scheme, bootstrap_objects(BootstrapOptions(NOW, scheme)))
    schema = await api.get(FLOW_SCHEMAS, "exempt")
    assert schema["status"]["conditions"][0]["type"] == "Dangling"


async def test_a_role_gets_back_what_it_lacks(key: bytes) -> None:
    scheme = Scheme.load("1.36")
    api = client(scheme, key)
    objects = bootstrap_objects(BootstrapOptions(NOW, scheme))
    await ensure(api, scheme, objects)
    role = await api.get(CLUSTER_ROLES, "system:kube-scheduler")
    mine = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    await api.update(CLUSTER_ROLES, {**role, "rules": [mine, *role["rules"][1:]]})
    assert await ensure(api, scheme, objects) == 1
    rules = (await api.get(CLUSTER_ROLES, "system:kube-scheduler"))["rules"]
    assert mine in rules
    assert role["rules"][0] in rules


async def test_a_binding_led_elsewhere_comes_back(key: bytes) -> None:
    scheme = Scheme.load("1.36")
    api = client(scheme, key)
    objects = bootstrap_objects(BootstrapOptions(NOW, scheme))
    await ensure(api, scheme, objects)
    name = "system:kube-scheduler"
    before = await api.get(CLUSTER_ROLE_BINDINGS, name)
    await api.delete(CLUSTER_ROLE_BINDINGS, name)
    reference = {**before["roleRef"], "name": "view"}
    metadata = {"name": name, "annotations": before["metadata"]["annotations"]}
    await api.create(CLUSTER_ROLE_BINDINGS, {**before, "metadata": metadata, "roleRef": reference})
    assert await ensure(api, scheme, objects) == 2
    after = await api.get(CLUSTER_ROLE_BINDINGS, name)
    assert (after["roleRef"], after["metadata"]["labels"]) == (before["roleRef"], before["metadata"]["labels"])


def test_whoever_opts_out_is_left_alone() -> None:
    role = next(each for each in rbac_objects() if each["metadata"]["name"] == "system:kube-scheduler")
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    emptied = {**role, "metadata": {**role["metadata"], "annotations": annotations}, "rules": []}
    assert with_missing_grants(emptied, role) is None
    assert with_missing_grants({**role, "rules": []}, role) == role
    assert with_missing_grants(role, role) is None
