"""Pods, LimitRanges, RuntimeClasses, nodes: what Kubernetes refuses of them beyond the recordings, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import DROP, Probe, changed
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.resources import PODS
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry.scopes import SCOPES

C = "spec.containers[0]"
WINDOWS = "Forbidden: cannot be set for a windows pod"
PROBES = {
    "pod": Probe(PODS, {"spec": {"containers": [{"name": "c", "image": "i"}]}}),
    "limits": Probe(
        GVR("", "v1", "limitranges"),
        {"spec": {"limits": [{"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "4"}}]}},
    ),
    "controller": Probe(
        GVR("", "v1", "replicationcontrollers"),
        {"spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}},
    ),
    "runtime": Probe(GVR("node.k8s.io", "v1", "runtimeclasses"), {"handler": "h"}),
    "node": Probe(GVR("", "v1", "nodes"), {"spec": {}}),
    "deployment": Probe(
        GVR("apps", "v1", "deployments"),
        {
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            }
        },
    ),
}
SELECTOR = {"matchLabels": {"a": "b"}}
SPREAD = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}
REFUSED: list[tuple[str, str, Any, str]] = [
    ("pod", "spec", {"os": {"name": "windows"}, "hostPID": True, "securityContext": {"runAsUser": 1}, "containers": [
        {"name": "c", "image": "i", "securityContext": {"privileged": True}}]},
     f"spec.securityContext.runAsUser: {WINDOWS}\nspec.hostPID: {WINDOWS}\n{C}.securityContext.privileged: {WINDOWS}"),
    ("pod", "spec", {"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "u"}},
                     "containers": [{"name": "c", "image": "i"}]},
     "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
    ("pod", "spec.resourceClaims", [{"name": "a"}], ('spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":'
     'null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`')),
    ("pod", f"{C}.resources", {"claims": [{"name": "x"}]}, (f'{C}.resources.claims[0]: Not found: "x": must be one of the names '
     "in pod.spec.resourceClaims which is empty")),
    ("pod", "spec", {"resources": {"requests": {"cpu": "1"}}, "containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]},
     'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2'),
    ("pod", "spec.topologySpreadConstraints", [{**SPREAD, "matchLabelKeys": ["a"]}],
     "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"),
    ("pod", "spec.topologySpreadConstraints", [{**SPREAD, "labelSelector": SELECTOR, "matchLabelKeys": ["a"]}],
     'spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and labelSelector'),
    ("pod", "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
     [{"topologyKey": "z", "labelSelector": SELECTOR, "matchLabelKeys": ["v"], "mismatchLabelKeys": ["v"]}],
     ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: "
     '"v": exists in both matchLabelKeys and mismatchLabelKeys')),
    ("pod", f"{C}.securityContext", {"procMount": "Unmasked"},
     f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'),
    ("pod", f"{C}.securityContext", {"appArmorProfile": {"type": "Localhost"}}, (f"{C}.securityContext.appArmorProfile."
     "localhostProfile: Required value: must be set when AppArmor type is Localhost")),
    ("pod", f"{C}.volumeMounts", [{"name": "v", "mountPath": "/m", "recursiveReadOnly": "Enabled"}],
     (f'{C}.volumeMounts[0].name: Not found: "v"\n'
     f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true")),
    ("pod", f"{C}.volumeDevices", [{"name": "d", "devicePath": "/../a"}], (f'{C}.volumeDevices[0].name: Not found: "d"\n'
     f"{C}.volumeDevices[0].devicePath: Invalid value: \"/../a\": can not contain backsteps ('..')")),
    ("pod", f"{C}.livenessProbe", {"grpc": {"port": 0}},
     f"{C}.livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    ("pod", f"{C}.lifecycle", {"preStop": {"sleep": {"seconds": 99}}}, (f"{C}.lifecycle.preStop.sleep: Invalid value: 99: must "
     "be non-negative and less than terminationGracePeriodSeconds (30)")),
    ("deployment", "spec.template.spec.volumes", [{"name": "v", "csi": {}}],
     "spec.template.spec.volumes[0].csi.driver: Required value"),
    ("limits", "spec.limits[0].type", "Some",
     'spec.limits[0].type: Invalid value: "Some": must be a standard limit type or fully qualified'),
    ("limits", "spec.limits[0].min.cpu", "5",
     ('spec.limits[0].min[cpu]: Invalid value: "5": min value 5 is greater than max value 4\n'
     'spec.limits[0].defaultRequest[cpu]: Invalid value: "4": min value 5 is greater than default request value 4\n'
     'spec.limits[0].default[cpu]: Invalid value: "5": min value 5 is greater than default value 4')),
    ("limits", "spec.limits[0].maxLimitRequestRatio", {"cpu": "8"},
     ('spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "8": '
     "ratio 8 is greater than max/min = 4.000000")),
    ("limits", "spec.limits[0]", {"type": "PersistentVolumeClaim", "max": {"cpu": "1"}},
     ("spec.limits[0].limits: Required value: "
     "either minimum or maximum storage value is required, but neither was provided")),
    ("controller", "spec.template", DROP, "spec.template: Required value"),
    ("pod", "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
     [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}],
     ("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]."
      'values[0]: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, \'-\', '
      "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
      "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")),
    ("runtime", "handler", DROP, "handler: Required value"),
    ("runtime", "overhead", {"podFixed": {"cpu": "-1"}},
     'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    ("runtime", "scheduling", {"tolerations": [{"operator": "Exists"}, {"operator": "Exists"}]},
     'scheduling.tolerations[1]: Duplicate value: {"operator":"Exists"}'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].refuses(world, path, value, expected)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"requests": {"cpu": "150m"}, "limits": {"cpu": "200m"}}, ""),
        (
            {"requests": {"cpu": "100m"}},
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ),
        ({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "ephemeral-storage": "1Gi"}},
         "spec: Forbidden: only cpu and memory resources are mutable"),
    ],
)  # fmt: skip
async def test_resize(world: World, resources: Obj, expected: str) -> None:
    own = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    await PROBES["pod"].create(world, {"spec": {"containers": [{"name": "c", "image": "i", "resources": own}]}})
    registry = world.registries[PODS]

    def change(old: Obj) -> Obj:
        container = {**old["spec"]["containers"][0], "resources": resources}
        return {**old, "metadata": {**old["metadata"]}, "spec": {**old["spec"], "containers": [container]}}

    write = world.write(registry.resource, NAMESPACE, "resize", "x", False)
    if not expected:
        result = await registry.update(NAMESPACE, "x", change, write, SCOPES["resize"])
        assert result.value["spec"]["containers"][0]["resources"] == resources
        return
    with pytest.raises(StatusError) as caught:
        await registry.update(NAMESPACE, "x", change, write, SCOPES["resize"])
    assert caught.value.details is not None
    causes = [f"{cause['field']}: {cause['message']}" for cause in caught.value.details["causes"]]
    assert causes == expected.split("\n")


async def test_keys_of_affinity_terms_become_part_of_their_selectors(world: World) -> None:
    term = {"topologyKey": "z", "labelSelector": SELECTOR, "matchLabelKeys": ["v", "w"], "mismatchLabelKeys": ["t"]}
    body = changed(
        PROBES["pod"].body, "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", [term]
    )
    metadata = {"name": "x", "labels": {"v": "1", "t": "blue"}}
    pod = (await world.create(PODS, {"metadata": metadata, **body}, NAMESPACE))[0]
    (stored,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert stored["labelSelector"] == {
        **SELECTOR,
        "matchExpressions": [
            {"key": "v", "operator": "In", "values": ["1"]},
            {"key": "t", "operator": "NotIn", "values": ["blue"]},
        ],
    }


async def test_a_new_node_is_tainted_until_it_was_seen_ready(world: World) -> None:
    node = await PROBES["node"].create(world)
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
