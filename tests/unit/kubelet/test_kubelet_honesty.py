"""What a pod, or the Node, is told when something is not given or not enforced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from kubelet_world import NODE, Scenario, World

import wherry
from wherry.api.resources import NETWORK_POLICIES, NODES, PODS
from wherry.api.schema import Schema
from wherry.api.scheme import Scheme
from wherry.kubelet.enforcement import not_enforced
from wherry.kubelet.isolation import isolation

SRC = Path(wherry.__file__).parent

UNFILTERED = "networkPolicy {}: nothing is filtered, every pod reaches every other"


async def policy(world: World, name: str, **labels: str) -> None:
    await world.put(NETWORK_POLICIES, name, kind="NetworkPolicy", spec={"podSelector": {"matchLabels": labels}})


def enforced(world: World, name: str = "web") -> tuple[str, str] | None:
    conditions = {each["type"]: each for each in world.status(name).get("conditions") or ()}
    found = conditions.get("wherry.dev/Enforced")
    return (found["status"], found.get("message", "")) if found else None


def test_pods_hear_of_network_policies_that_select_them(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await policy(world, "others", app="other")
            await world.create()
            await world.until(world.is_ready)
            assert enforced(world) is None
            await policy(world, "all")
            await world.until(lambda: enforced(world) == ("False", UNFILTERED.format("all")))
            assert world.events.messages("NotEnforced") == [UNFILTERED.format("all")]
            pod = await world.client.get(PODS, "web", "default")
            metadata = {**pod["metadata"], "labels": {"app": "other"}}
            await world.client.update(PODS, {**pod, "metadata": metadata})
            both = f"{UNFILTERED.format('all')}; {UNFILTERED.format('others')}"
            await world.until(lambda: enforced(world) == ("False", both))
        async with world.running():
            await world.wait(1)
            assert world.events.messages("NotEnforced") == [UNFILTERED.format("all"), both]
            for name in ("all", "others"):
                await world.client.delete(NETWORK_POLICIES, name, "default")
            await world.until(lambda: enforced(world) == ("True", ""))
            assert len(world.events.messages("NotEnforced")) == 2
            assert world.container()["restartCount"] == 0

    play(scenario)


def test_what_a_program_was_refused_is_an_event_of_its_pod(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            world.runtime.refuse("app", "io_uring: there is none")
            await world.until(lambda: world.events.messages("NotSupported") == ["io_uring: there is none"])

    play(scenario)


def test_no_user_is_told_who_is_none(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            assert world.container()["user"]["linux"]["uid"] == 0
            world.runtime.users = "one user only"
            await world.create("other")
            await world.until(lambda: world.is_ready("other"))
            assert "user" not in world.container(name="other")

    play(scenario)


def test_a_node_says_whether_pods_are_kept_apart(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.wait(1)
            conditions = (await world.client.get(NODES, NODE))["status"]["conditions"]
            assert [each["type"] for each in conditions][-2:] == ["wherry.dev/Isolated", "Ready"]
            assert conditions[-2]["reason"] == "LinuxNamespaces"
            assert conditions[-2]["message"].endswith("limits are not enforced: nothing runs")

    play(scenario)


def test_plain_processes_are_not_kept_apart() -> None:
    found = isolation({"tier": "proc", "not_isolated": "processes see one another", "limits": "no cgroups"})
    assert (found["status"], found["reason"], found["message"]) == (
        "False",
        "PlainProcesses",
        "processes see one another",
    )


ACTS = (
    "kubelet",
    "scheduler",
    "network",
    "controllers",
    "cri",
    "apiserver/admission",
    "apiserver/registry/pod_affinity_keys.py",
)
"""Who does what a pod says; rules about its form are in other places."""
NOTHING_TO_DO = {
    "resizePolicy": "a running container is never resized, which its condition PodResizePending says",
    "seLinuxChangePolicy": "no labels are set, which is said of seLinuxOptions",
    "localhostProfile": "no profile is loaded, which is said of its type",
    "fileKeyRef": "refused, as every source of variables that is not known",
}
"""Fields of pods that no module names, and why that is right."""
WHOLE = {
    "volumes",
    "volumeDevices",
    "resourceClaims",
    "schedulingGroup",
    "workloadRef",
    "evictionResponders",
    "windowsOptions",
}
"""Refused or spoken of by their names, whatever is in them; what is Windows' alone Kubernetes ignores on Linux too."""


def test_no_field_of_a_pod_is_forgotten() -> None:
    """Every field that any served version knows is named by a module that acts on it, or says that nobody does."""
    source = "\n".join(path.read_text() for each in ACTS for path in _files(SRC / each))
    named = set(re.findall(r"[\"']([a-z]\w*)[\"']", source))
    forgotten: set[str] = set()
    for version in Scheme.versions():
        scheme = Scheme.load(version)
        resource = scheme.by_kind("v1", "Pod")
        assert resource is not None
        fields = scheme.schema(resource).fields
        assert fields is not None
        forgotten |= _unnamed(fields["spec"], named, set())
    assert forgotten == NOTHING_TO_DO.keys()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _unnamed(schema: Schema, named: set[str], known: set[str]) -> set[str]:
    found = set()
    for name, field in (schema.fields or {}).items():
        if name not in named:
            found.add(name)
            continue
        while field.items is not None:
            field = field.items
        if field.ref and field.ref not in known and name not in WHOLE:
            known.add(field.ref)
            found |= _unnamed(field, named, known)
    return found


def test_what_nobody_does_is_said() -> None:
    container = {"name": "c", "volumeMounts": [{"name": "v", "bindMountOptions": ["noexec"]}]}
    spec = {
        "containers": [container],
        "ephemeralContainers": [{"name": "look", "targetContainerName": "c"}],
        "schedulingGroup": {"podGroupName": "gang"},
        "evictionResponders": [{"name": "a"}],
        "resources": {"limits": {"cpu": "1"}},
        "volumes": [{"name": "v", "configMap": {"name": "x", "defaultUser": 5}}],
    }
    found = not_enforced({"metadata": {}, "spec": spec}, {"limits": "no cgroups"})
    assert [each.partition(":")[0] for each in found] == [
        "schedulingGroup",
        "evictionResponders",
        "resources.limits",
        "containers[c].volumeMounts.bindMountOptions",
        "ephemeralContainers[look].targetContainerName",
        "volumes[v].configMap.defaultUser",
    ]
    spec["shareProcessNamespace"] = True
    assert "targetContainerName" not in " ".join(not_enforced({"metadata": {}, "spec": spec}, {}))


def test_a_block_device_is_refused(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            device = {"name": "app", "volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}]}
            await world.create("web", device, volumes=[{"name": "disk", "persistentVolumeClaim": {"claimName": "d"}}])
            await world.until(lambda: bool(world.events.messages("FailedMount")))
            assert "block devices are not supported on this node" in world.events.messages("FailedMount")[0]
            assert world.runtime.names_started() == []

    play(scenario)
