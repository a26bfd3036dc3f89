# ruff: noqa: E501 (a text of Kubernetes reads better on one line)
"""What plugins make of pods and claims, beyond the recorded exchanges."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from wherry.aio.clock import ManualClock
from wherry.api.errors import StatusError
from wherry.api.pod_amounts import pod_amounts
from wherry.api.resources import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.chain import Admission, AdmissionRequest
from wherry.apiserver.admission.default_ingress_class import INGRESS_CLASSES, DefaultIngressClass
from wherry.apiserver.admission.default_storage_class import DefaultStorageClass
from wherry.apiserver.admission.limit_ranger import LIMIT_RANGES, LimitRanger
from wherry.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from wherry.apiserver.admission.priority import Priority
from wherry.apiserver.admission.request import Plugin
from wherry.apiserver.admission.resource_quota import RESOURCE_QUOTAS, ResourceQuota
from wherry.apiserver.admission.service_account import MOUNT_PATH, ServiceAccount
from wherry.apiserver.auth.user import User
from wherry.apiserver.registry.strategy import Context

SCHEME = Scheme.load("1.36")


@dataclass
class Objects:
    """A `Reader` over plain dicts."""

    stored: dict[tuple[GVR, str, str], Obj] = field(default_factory=dict)

    def add(self, gvr: GVR, name: str, namespace: str = "", **more: object) -> None:
        metadata: Any = {"name": name, "namespace": namespace, "uid": f"{gvr.resource}/{name}"}
        metadata.update(more.pop("metadata", {}))
        self.stored[gvr, namespace, name] = {"metadata": metadata, **more}

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
        return self.stored.get((gvr, namespace or "", name))

    def list(self, gvr: GVR, namespace: str | None = None) -> Iterable[Obj]:
        return [
            obj
            for (kind, where, _), obj in self.stored.items()
            if kind == gvr and (not namespace or where == namespace)
        ]


@pytest.fixture
def objects() -> Objects:
    made = Objects()
    made.add(NAMESPACES, "shop")
    made.add(SERVICE_ACCOUNTS, "default", "shop")
    return made


async def admit(
    plugin: Plugin | Admission,
    objects: Objects,
    gvr: GVR,
    obj: Obj,
    old: Obj | None = None,
    clock: ManualClock | None = None,
) -> Obj:
    resource = SCHEME.resource(gvr)
    assert resource is not None
    context = Context(clock or ManualClock(), random.Random(3), User("alice"), objects)
    request = AdmissionRequest(
        "UPDATE" if old else "CREATE", resource, "", "shop" if resource.namespaced else "",
        obj["metadata"]["name"], obj, old, User("alice"), False, {}, context,
    )  # fmt: skip
    await (Admission([plugin]) if not isinstance(plugin, Admission) else plugin).admit(request)
    return obj


def pod(**spec: object) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1"}], **spec}}


async def test_the_token_is_mounted_where_nothing_else_is(objects: Objects) -> None:
    own = {"name": "own", "mountPath": MOUNT_PATH}
    made = await admit(
        ServiceAccount(),
        objects,
        PODS,
        pod(containers=[{"name": "a"}, {"name": "b", "volumeMounts": [own]}], initContainers=[{"name": "i"}]),
    )
    spec = made["spec"]
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert [c["volumeMounts"][0]["name"] for c in (*spec["initContainers"], *spec["containers"])] == [
        volume,
        volume,
        "own",
    ]


async def test_no_container_wants_it_no_volume(objects: Objects) -> None:
    own = {"name": "own", "mountPath": MOUNT_PATH}
    made = await admit(ServiceAccount(), objects, PODS, pod(containers=[{"name": "a", "volumeMounts": [own]}]))
    assert "volumes" not in made["spec"]


@pytest.mark.parametrize(
    ("account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_who_decides_about_the_token(
    objects: Objects, account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    objects.add(SERVICE_ACCOUNTS, "default", "shop", automountServiceAccountToken=account)
    spec = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    made = await admit(ServiceAccount(), objects, PODS, pod(**spec))
    assert ("volumes" in made["spec"]) is mounted


async def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own(objects: Objects) -> None:
    objects.add(SERVICE_ACCOUNTS, "default", "shop", imagePullSecrets=[{"name": "registry"}])
    assert (await admit(ServiceAccount(), objects, PODS, pod()))["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    mine = [{"name": "mine"}]
    made = await admit(ServiceAccount(), objects, PODS, pod(imagePullSecrets=mine))
    assert made["spec"]["imagePullSecrets"] == mine


async def test_the_default_account_of_a_new_namespace_is_waited_for() -> None:
    late = Objects()
    clock = ManualClock()

    class Arriving(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.now - clock.now > 0.25:
                late.add(SERVICE_ACCOUNTS, "default", "shop")

    made = await admit(ServiceAccount(), late, PODS, pod(), clock=Arriving())
    assert made["spec"]["serviceAccountName"] == "default"


async def test_the_default_class_gives_name_and_number(objects: Objects) -> None:
    objects.add(PRIORITY_CLASSES, "normal", globalDefault=True, value=5, preemptionPolicy="Never")
    objects.add(PRIORITY_CLASSES, "high", value=100)
    spec = (await admit(Priority(), objects, PODS, pod()))["spec"]
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("normal", 5, "Never")
    spec = (await admit(Priority(), objects, PODS, pod(priorityClassName="high")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (100, "PreemptLowerPriority")


async def test_an_update_keeps_the_priority(objects: Objects) -> None:
    old = pod(priority=7, preemptionPolicy="Never")
    spec = (await admit(Priority(), objects, PODS, pod(), old))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (7, "Never")


async def test_one_default_class_only(objects: Objects) -> None:
    objects.add(PRIORITY_CLASSES, "normal", globalDefault=True, value=5)
    with pytest.raises(StatusError, match="PriorityClass normal is already marked as default"):
        await admit(Priority(), objects, PRIORITY_CLASSES, {"metadata": {"name": "other"}, "globalDefault": True})


async def test_claims_get_the_newest_default_class_unless_they_choose(objects: Objects) -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    for name, made in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")):
        objects.add(STORAGE_CLASSES, name, metadata={"annotations": annotations, "creationTimestamp": made})
    claim: Obj = {"metadata": {"name": "c"}, "spec": {}}
    admitted = await admit(DefaultStorageClass(), objects, PERSISTENT_VOLUME_CLAIMS, claim)
    assert admitted["spec"]["storageClassName"] == "new"
    chosen: Obj = {"metadata": {"name": "c"}, "spec": {"storageClassName": ""}}
    admitted = await admit(DefaultStorageClass(), objects, PERSISTENT_VOLUME_CLAIMS, chosen)
    assert admitted["spec"]["storageClassName"] == ""


async def test_limit_range_defaults_and_says_so(objects: Objects) -> None:
    item = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}
    objects.add(LIMIT_RANGES, "r", "shop", spec={"limits": [item]})
    made = await admit(LimitRanger(), objects, PODS, pod())
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    note = "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    assert made["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": note}


async def test_limit_range_refuses_with_every_reason(objects: Objects) -> None:
    item = {"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "64Mi"}}
    objects.add(LIMIT_RANGES, "r", "shop", spec={"limits": [item]})
    resources = {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"cpu": "2"}}
    with pytest.raises(StatusError) as caught:
        await admit(LimitRanger(), objects, PODS, pod(containers=[{"name": "c", "resources": resources}]))
    assert caught.value.message == (
        'pods "p" is forbidden: [minimum memory usage per Container is 64Mi, but request is 32Mi, '
        "maximum cpu usage per Container is 1, but limit is 2]"
    )


@pytest.mark.parametrize(
    ("bound", "resources", "why"),
    [
        ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"max": {"cpu": "1"}}, {"requests": {"cpu": "3"}, "limits": {"cpu": "3"}}, "maximum cpu usage per Container is 1, but limit is 3"),
        ({"max": {"cpu": "1"}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, "maximum cpu usage per Container is 1, but request is 2"),
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({"min": {"cpu": "1"}}, {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}, "minimum cpu usage per Container is 1, but request is 100m"),
        ({"min": {"cpu": "1"}}, {"requests": {"cpu": "1"}, "limits": {"cpu": "200m"}}, "minimum cpu usage per Container is 1, but limit is 200m"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"requests": {"cpu": "1"}, "limits": {"cpu": "5"}},
         "cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"limits": {"cpu": "5"}},
         "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
    ],
)  # fmt: skip
async def test_one_complaint_for_each_bound(objects: Objects, bound: Obj, resources: Obj, why: str) -> None:
    objects.add(LIMIT_RANGES, "r", "shop", spec={"limits": [{"type": "Container", **bound}]})
    with pytest.raises(StatusError) as caught:
        await admit(LimitRanger(), objects, PODS, pod(containers=[{"name": "c", "resources": resources}]))
    assert caught.value.message == f'pods "p" is forbidden: {why}'


async def test_quota_counts_what_is_there_and_forgets_what_ended(objects: Objects) -> None:
    objects.add(RESOURCE_QUOTAS, "q", "shop", spec={"hard": {"pods": "1"}})
    objects.add(PODS, "done", "shop", spec={}, status={"phase": "Succeeded"})
    await admit(ResourceQuota(), objects, PODS, pod())
    objects.add(PODS, "running", "shop", spec={}, status={"phase": "Running"})
    with pytest.raises(StatusError, match="exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        await admit(ResourceQuota(), objects, PODS, pod())


async def test_quota_scope(objects: Objects) -> None:
    objects.add(RESOURCE_QUOTAS, "q", "shop", spec={"hard": {"pods": "0"}, "scopes": ["BestEffort"]})
    busy = [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]
    await admit(ResourceQuota(), objects, PODS, pod(containers=busy))
    with pytest.raises(StatusError, match="exceeded quota"):
        await admit(ResourceQuota(), objects, PODS, pod())


INIT = [
    {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}},
    {"name": "init", "resources": {"requests": {"cpu": "700m"}, "limits": {"cpu": "2"}}},
]
MAIN = [{"name": "c", "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}}]


@pytest.mark.parametrize(
    ("spec", "requests", "limits"),
    [
        ({"containers": MAIN}, "500m", "1"),
        ({"containers": MAIN, "initContainers": INIT[:1]}, "600m", "2"),
        ({"containers": MAIN, "initContainers": INIT}, "800m", "3"),
        ({"containers": MAIN, "initContainers": INIT[::-1]}, "700m", "2"),
        ({"containers": MAIN, "resources": {"requests": {"cpu": "2"}}}, "2", "1"),
        ({"containers": MAIN, "overhead": {"cpu": "10m"}}, "510m", "1010m"),
    ],
)
async def test_what_a_whole_pod_takes(objects: Objects, spec: Obj, requests: str, limits: str) -> None:
    taken = {side: str(pod_amounts(spec, side)["cpu"]) for side in ("requests", "limits")}
    assert taken == {"requests": requests, "limits": limits}
    objects.add(RESOURCE_QUOTAS, "q", "shop", spec={"hard": {"requests.cpu": "1m", "limits.cpu": "1m"}})
    with pytest.raises(StatusError, match=f"requested: limits.cpu={limits},requests.cpu={requests}, used"):
        await admit(ResourceQuota(), objects, PODS, {"metadata": {"name": "p"}, "spec": spec})


@pytest.mark.parametrize(
    ("phase", "expands", "why"),
    [
        ("Pending", True, "Only bound persistent volume claims can be expanded"),
        ("Bound", False, "only dynamically provisioned pvc can be resized"),
        ("Bound", True, ""),
    ],
)
async def test_which_claims_may_grow(objects: Objects, phase: str, expands: bool, why: str) -> None:
    def claim(size: str) -> Obj:
        spec = {"storageClassName": "standard", "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase}}

    objects.add(STORAGE_CLASSES, "standard", allowVolumeExpansion=expands)
    await admit(PersistentVolumeClaimResize(), objects, PERSISTENT_VOLUME_CLAIMS, claim("1Gi"), claim("1Gi"))
    if not why:
        await admit(PersistentVolumeClaimResize(), objects, PERSISTENT_VOLUME_CLAIMS, claim("2Gi"), claim("1Gi"))
        return
    with pytest.raises(StatusError, match=why):
        await admit(PersistentVolumeClaimResize(), objects, PERSISTENT_VOLUME_CLAIMS, claim("2Gi"), claim("1Gi"))


async def test_ingresses_get_the_newest_default_class_unless_they_choose(objects: Objects) -> None:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    for name, made in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")):
        objects.add(INGRESS_CLASSES, name, metadata={"annotations": annotations, "creationTimestamp": made})
    gvr = GVR("networking.k8s.io", "v1", "ingresses")
    plain: Obj = {"metadata": {"name": "i"}, "spec": {}}
    assert (await admit(DefaultIngressClass(), objects, gvr, plain))["spec"] == {"ingressClassName": "new"}
    chosen: Obj = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "mine"}}, "spec": {}}
    assert (await admit(DefaultIngressClass(), objects, gvr, chosen))["spec"] == {}


async def test_the_whole_chain_on_a_plain_pod(objects: Objects) -> None:
    spec = (await admit(Admission(), objects, PODS, pod()))["spec"]
    assert spec["priority"] == 0
    assert len(spec["tolerations"]) == 2
    assert spec["serviceAccount"] == "default"
