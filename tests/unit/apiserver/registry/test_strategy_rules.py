"""Rules the recorded exchanges do not reach."""

from __future__ import annotations

from typing import Any

import pytest
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.resources import DEPLOYMENTS, PODS, SECRETS
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry import pod_defaults
from wherry.apiserver.registry.catalogue import STRATEGIES, strategies
from wherry.apiserver.registry.pod import qos_class
from wherry.apiserver.registry.validation import field

PERSISTENT_VOLUMES = GVR("", "v1", "persistentvolumes")
CRON_JOBS = GVR("batch", "v1", "cronjobs")
INGRESSES = GVR("networking.k8s.io", "v1", "ingresses")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")


async def causes(world: World, gvr: GVR, body: Obj, namespace: str = NAMESPACE) -> list[tuple[str, str]]:
    with pytest.raises(StatusError) as caught:
        await world.create(gvr, body, namespace)
    assert caught.value.code == 422
    assert caught.value.details is not None
    return [(cause["field"], cause["message"]) for cause in caught.value.details["causes"]]


def test_every_strategy_belongs_to_a_resource() -> None:
    served = {(gvr.group, gvr.resource) for version in ("1.36", "1.37") for gvr in Scheme.load(version).resources}
    assert STRATEGIES.keys() <= served


@pytest.mark.parametrize("version", Scheme.versions())
def test_field_labels_of_every_kind_are_known_without_an_object(version: str) -> None:
    for strategy in strategies(Scheme.load(version)).values():
        assert all(isinstance(value, str) for value in strategy.fields({}).values())


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("localhost:5001/cart", "Always"),
        ("localhost:5001/cart:1.0", "IfNotPresent"),
        ("wherry.dev/host:v1", "IfNotPresent"),
        ("cart@sha256:" + "a" * 64, "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pod_defaults.pull_policy(image) == policy


def containers(*resources: Obj) -> Obj:
    return {"containers": [{"resources": each} for each in resources]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (containers({}), "BestEffort"),
        (containers({"limits": {"cpu": "0"}}), "BestEffort"),
        (containers({"requests": {"cpu": "1"}}), "Burstable"),
        (containers({"requests": {"cpu": "1"}}, {}), "Burstable"),
        (containers(*[{side: {"cpu": "1", "memory": "1Gi"} for side in ("limits", "requests")}] * 2), "Guaranteed"),
        (containers({"requests": {"ephemeral-storage": "1Gi"}}), "BestEffort"),
    ],
)
def test_quality_of_service(spec: Obj, expected: str) -> None:
    assert qos_class(spec) == expected


def test_values_as_error_texts_show_them() -> None:
    assert field.invalid("f", 'a"b\n', "x").message == 'Invalid value: "a\\"b\\n": x'
    assert field.invalid("f", {"a": 1}, "x").message == 'Invalid value: {"a":1}: x'
    assert field.invalid("f", True, "").message == "Invalid value: true"
    assert field.too_long("f", 5).message == "Too long: may not be more than 5 bytes"


@pytest.mark.parametrize(
    ("kind", "data", "missing"),
    [
        ("kubernetes.io/tls", {"tls.crt": "eA=="}, ["data[tls.key]"]),
        ("kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]"]),
        ("kubernetes.io/basic-auth", {}, ["data[username]", "data[password]"]),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "eA=="}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/service-account-token", {}, ["metadata.annotations[kubernetes.io/service-account.name]"]),
    ],
)
async def test_secret_types(world: World, kind: str, data: Obj, missing: list[str]) -> None:
    found = await causes(world, SECRETS, {"metadata": {"name": "s"}, "type": kind, "data": data})
    assert [path for path, _ in found] == missing


async def test_a_sidecar_may_have_probes_and_an_init_container_may_not(world: World) -> None:
    probe = {"exec": {"command": ["true"]}}
    init: list[Obj] = [
        {"name": "sidecar", "image": "x:1", "restartPolicy": "Always", "readinessProbe": probe},
        {"name": "once", "image": "x:1", "readinessProbe": probe},
    ]
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1"}], "initContainers": init}}
    assert await causes(world, PODS, body) == [
        (
            "spec.initContainers[1].readinessProbe",
            "Forbidden: may not be set for init containers without restartPolicy=Always",
        )
    ]


async def test_what_a_pod_may_change(world: World) -> None:
    body = {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{"name": "c", "image": "x:1"}],
            "activeDeadlineSeconds": 100,
            "tolerations": [{"key": "mine", "operator": "Exists"}],
        },
    }
    await world.create(PODS, body, NAMESPACE)
    registry = world.registries[PODS]

    async def change(edit: dict[str, Any]) -> list[str]:
        write = world.write(registry.resource, NAMESPACE, "", "p", True)

        def draft(old: Obj) -> Obj:
            return world.decode(registry.resource, {**old, "spec": {**old["spec"], **edit}})

        try:
            await registry.update(NAMESPACE, "p", draft, write)
        except StatusError as error:
            return [cause["message"].partition("\n")[0][:60] for cause in (error.details or {})["causes"]]
        return []

    spec = world.get(PODS, "p", NAMESPACE)["spec"]  # type: ignore[index]
    assert await change({"containers": [{**spec["containers"][0], "image": "x:2"}]}) == []
    assert await change({"activeDeadlineSeconds": 50}) == []
    assert await change({"tolerations": [*spec["tolerations"], {"key": "a", "operator": "Exists"}]}) == []
    assert await change({"activeDeadlineSeconds": 200}) == [
        "Invalid value: 200: must be less than or equal to previous v"
    ]
    assert await change({"tolerations": [{"key": "a", "operator": "Exists"}]}) != []
    assert await change({"containers": [*spec["containers"], {"name": "d", "image": "x"}]}) == [
        "Forbidden: pod updates may not add or remove containers"
    ]
    assert await change({"nodeName": "elsewhere"}) == ["Forbidden: pod updates may not change fields other than `spe"]


async def test_cron_job_schedule_and_zone(world: World) -> None:
    job = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1"}]}}}}
    body = {
        "metadata": {"name": "c"},
        "spec": {"schedule": "TZ=UTC * * * * *", "timeZone": "Nowhere/Atall", "jobTemplate": job},
    }
    assert await causes(world, CRON_JOBS, body) == [
        (
            "spec.schedule",
            'Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
        ),
        ("spec.timeZone", 'Invalid value: "Nowhere/Atall": unknown time zone Nowhere/Atall'),
    ]


async def test_persistent_volume_sources(world: World) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    assert await causes(world, PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": spec}, "") == [
        ("spec", "Required value: must specify a volume type")
    ]
    made, _ = await world.create(
        PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": {**spec, "hostPath": {"path": "/data"}}}, ""
    )
    assert made["spec"]["hostPath"] == {"path": "/data", "type": ""}
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert (made["status"], made["spec"]["persistentVolumeReclaimPolicy"]) == ({"phase": "Pending"}, "Retain")


async def test_priority_classes_of_the_system_are_reserved(world: World) -> None:
    found = await causes(world, PRIORITY_CLASSES, {"metadata": {"name": "system-mine"}, "value": 1}, "")
    assert found[0][0] == "metadata.name"
    found = await causes(world, PRIORITY_CLASSES, {"metadata": {"name": "mine"}, "value": 2_000_000_000}, "")
    assert found == [("value", "Forbidden: maximum allowed value of a user defined priority is 1000000000")]


async def test_ingress_paths(world: World) -> None:
    path = {"path": "cart", "pathType": "Prefix", "backend": {"service": {"name": "cart", "port": {}}}}
    body = {"metadata": {"name": "i"}, "spec": {"rules": [{"host": "Shop", "http": {"paths": [path]}}]}}
    found = await causes(world, INGRESSES, body)
    assert [where for where, _ in found] == [
        "spec.rules[0].host",
        "spec.rules[0].http.paths[0].path",
        "spec.rules[0].http.paths[0].backend",
    ]


async def test_a_template_warns_where_the_field_is(world: World) -> None:
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "containers": [{"name": "c", "image": "x:1"}],
        },
    }
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template}}
    _, warnings = await world.create(DEPLOYMENTS, body, NAMESPACE)
    assert warnings == [
        'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    ]
