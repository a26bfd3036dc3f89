"""`wherry up`'s apply and its explanations against the real API core, in process."""

import asyncio
import random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.in_process import InProcessTransport
from wherry.cli.apply import apply, in_order
from wherry.cli.explain import HINTS, explain
from wherry.client.rest import Client
from wherry.client.three_way import LAST_APPLIED
from wherry.storage.memory import MemoryStorage

SCHEME = Scheme.load("1.36")
KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def against_api(test):
    """Run `test(client)` against a fresh API in virtual time."""

    async def main():
        app = App(SCHEME, MemoryStorage(), LoopClock(), random.Random(1), Options(service_account_key=KEY))
        client = Client(InProcessTransport(app, User("admin", (MASTERS,))))
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.create(SERVICE_ACCOUNTS, account, "default")
        return await test(client)

    return run_virtual(main())


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def test_created_then_unchanged_then_configured():
    async def test(client):
        outcomes = [(await apply(client, SCHEME, config_map(a=value), "default")).outcome for value in ("1", "1", "2")]
        return outcomes, await client.get(CONFIG_MAPS, "settings", "default")

    outcomes, stored = against_api(test)
    assert outcomes == ["created", "unchanged", "configured"]
    assert stored["data"] == {"a": "2"}
    assert '"a":"2"' in stored["metadata"]["annotations"][LAST_APPLIED]


def test_what_is_no_longer_applied_goes_and_what_others_wrote_stays():
    async def test(client):
        await apply(client, SCHEME, config_map(ours="1", old="1"), "default")
        await client.patch(CONFIG_MAPS, "settings", {"data": {"theirs": "1"}}, "default")
        await apply(client, SCHEME, config_map(ours="1"), "default")
        return (await client.get(CONFIG_MAPS, "settings", "default"))["data"]

    assert against_api(test) == {"ours": "1", "theirs": "1"}


def test_a_misspelt_field_is_refused_and_nothing_stored():
    async def test(client):
        with pytest.raises(StatusError) as error:
            await apply(client, SCHEME, {**config_map(a="1"), "dat": {}}, "default")
        return error.value, (await client.list(CONFIG_MAPS, "default"))["items"]

    error, stored = against_api(test)
    assert (error.code, stored) == (400, [])
    assert 'unknown field "dat"' in error.message


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"apiVersion": "v9", "kind": "Boat", "metadata": {"name": "x"}}, 'no matches for kind "Boat" in version "v9"'),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, "metadata.name: Required value"),
    ],
)
def test_what_cannot_be_applied_says_why(obj, text):
    async def test(client):
        with pytest.raises(StatusError) as error:
            await apply(client, SCHEME, obj, "default")
        return error.value.message

    assert text in against_api(test)


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_a_definition_and_its_objects_are_applied_together():
    def boat(**spec):
        return {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": spec}

    async def main():
        app = App(SCHEME, MemoryStorage(), LoopClock(), random.Random(1), Options(service_account_key=KEY))
        client = Client(InProcessTransport(app, User("admin", (MASTERS,))))
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        running = asyncio.create_task(app.run())
        outcomes = []
        for spec in ({"sail": 1, "old": 1}, {"sail": 1, "old": 1}, {"sail": 2}):
            ordered = in_order([boat(**spec), DEFINITION])
            outcomes += [(await apply(client, SCHEME, obj, "default")).outcome for obj in ordered]
        stored = await client.get(GVR("example.com", "v1", "boats"), "b", "default")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return outcomes, stored["spec"]

    outcomes, spec = run_virtual(main())
    assert outcomes == ["created", "created", "unchanged", "unchanged", "unchanged", "configured"]
    assert spec == {"sail": 2}


def test_objects_are_applied_in_the_order_they_need_each_other():
    kinds = ["Deployment", "Service", "ConfigMap", "Namespace", "Boat", "ServiceAccount"]
    ordered = in_order([{"kind": kind} for kind in kinds])
    assert [obj["kind"] for obj in ordered] == [
        "Namespace",
        "ServiceAccount",
        "ConfigMap",
        "Service",
        "Deployment",
        "Boat",
    ]


class _NoLogs:
    """A connection without a kubelet behind it."""

    def __init__(self, client):
        self.client, self.transport = client, self

    def read(self, path, *, query=None):
        raise ConnectionError("no kubelet")


def pod(name, status):
    spec = {"containers": [{"name": "c", "image": "web:v1"}]}
    metadata = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, status


@pytest.mark.parametrize(
    ("status", "waiting", "message"),
    [
        (
            {"containerStatuses": [_waiting := {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": "",
             "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]},
            "ImagePullBackOff",
            "Back-off pulling image",
        ),
        (
            {"containerStatuses": [{**_waiting, "state": {"running": {}},
             "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]},
            "OOMKilled",
            "container c exceeded its memory limit",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/1 nodes are available: 1 Insufficient cpu."}]},
            "Unschedulable",
            "0/1 nodes are available: 1 Insufficient cpu.",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_is_in_the_way_is_named_with_its_reason_event_and_a_hint(status, waiting, message):
    async def test(client):
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "web:v1"}]},
        }
        deployment = await client.create(
            DEPLOYMENTS,
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
            },
            "default",
        )
        obj, found = pod("web-1", status)
        stored = await client.create(PODS, obj, "default")
        await client.patch(PODS, "web-1", {"status": found}, "default", subresource="status")
        reference = {"kind": "Pod", "name": "web-1", "namespace": "default", "uid": stored["metadata"]["uid"]}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "involvedObject": reference,
            "type": "Warning",
            "reason": "Failed",
            "message": "it did not work",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        await client.create(EVENTS, event, "default")
        return await explain(_NoLogs(client), deployment)

    (reason,) = against_api(test)
    assert (reason.pod, reason.waiting, reason.message) == ("web-1", waiting, message)
    assert reason.event == "Failed: it did not work"
    assert reason.hint == HINTS[waiting].format(pod="web-1", namespace="default")
    assert f"pod web-1: {waiting}: {message}" in reason.lines()
