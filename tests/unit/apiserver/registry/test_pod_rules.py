"""Pods and what bounds them: what Kubernetes refuses beyond the recorded exchanges, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import DROP, Probe, changed
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry.scopes import SCOPES

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONTAINER: Obj = {"name": "c", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
PROBES = {
    "pod": Probe(GVR("", "v1", "pods"), {"spec": {"containers": [CONTAINER]}}),
    "gated": Probe(
        GVR("", "v1", "pods"),
        {"spec": {"containers": [CONTAINER], "schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}},
    ),
    "sidecar": Probe(
        GVR("", "v1", "pods"),
        {
            "spec": {
                "containers": [CONTAINER],
                "initContainers": [
                    {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                    {"name": "t", "image": "i"},
                ],
            }
        },
    ),
    "deployment": Probe(
        GVR("apps", "v1", "deployments"), {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
    ),
    "limits": Probe(GVR("", "v1", "limitranges"), {"spec": {"limits": [{"type": "Container"}]}}),
    "quota": Probe(GVR("", "v1", "resourcequotas"), {"spec": {"hard": {"pods": "1"}}}),
    "secret": Probe(GVR("", "v1", "secrets"), {}),
}
C = "spec.containers[0]"
NAMED = "must match the name of an entry in `spec.resourceClaims`"
CLAIMS = "must be one of the names in pod.spec.resourceClaims"
SIZES = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
CONTEXT = (
    '{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,'
    '"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,'
    '"SeccompProfile":null,"AppArmorProfile":null}'
)
REFUSED: list[tuple[str, str, Any, str]] = [
    ("pod", f"{C}.image", " i", f'{C}.image: Invalid value: " i": must not have leading or trailing whitespace'),
    ("pod", f"{C}.resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2,
     f'{C}.resizePolicy[1]: Duplicate value: "cpu"'),
    ("pod", "spec", {"restartPolicy": "Never", "containers": [
        {**CONTAINER, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}]},
     f'{C}.resizePolicy: Invalid value: "RestartContainer": must be \'NotRequired\' when `restartPolicy` is \'Never\''),
    ("pod", f"{C}.resources.limits", {"hugepages-2Mi": "3Mi", "cpu": "1"},
     (f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi\n'
      f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi')),
    ("pod", "spec", {"resourceClaims": [{"name": "b", "resourceClaimName": "x"}, {"name": "a", "resourceClaimName": "y"}],
                     "containers": [{**CONTAINER, "resources": {"claims": [{"name": "z"}, {"name": "a", "request": "r"},
                                                                          {"name": "a"}]}}]},
     f'{C}.resources.claims[0]: Not found: "z": {CLAIMS}: a, b\n{C}.resources.claims[2]: Duplicate value: "a"'),
    ("pod", f"{C}.env", [{"name": "A", "valueFrom": {"configMapKeyRef": {"key": "k"}}}],
     f'{C}.env[0].valueFrom.configMapKeyRef.name: Invalid value: "": {SUBDOMAIN}'),
    ("pod", f"{C}.envFrom", [{"secretRef": {"name": "A"}}],
     f'{C}.envFrom[0].secretRef.name: Invalid value: "A": {SUBDOMAIN}'),
    ("pod", f"{C}.env", [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.hugepages-2Mi", "divisor": "2"}}}],
     (f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.hugepages-2Mi": only divisor\'s values {SIZES} '
      "are supported with the hugepages resource")),
    ("pod", f"{C}.securityContext", {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "p"}},
     (f'{C}.securityContext.seccompProfile.localhostProfile: Invalid value: {{"Type":"RuntimeDefault","LocalhostProfile":"p"}}: '
      "can only be set when seccomp type is Localhost")),
    ("pod", f"{C}.securityContext", {"seccompProfile": {}},
     f"{C}.securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set"),
    ("pod", f"{C}.securityContext", {"privileged": True, "allowPrivilegeEscalation": False},
     (f"{C}.securityContext: Invalid value: {CONTEXT}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true")),
    ("pod", "spec", {"containers": [CONTAINER], "hostNetwork": True, "hostIPC": True, "securityContext": {"sysctls": [
        {"name": "net.core.somaxconn", "value": "1"}, {"name": "kernel/shm_rmid_forced", "value": "1"}]}},
     ('spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": '
      "may not be specified when 'hostNetwork' is true\n"
      'spec.securityContext.sysctls[1].name: Invalid value: "kernel/shm_rmid_forced": '
      "may not be specified when 'hostIPC' is true")),
    ("pod", "spec.os", {"name": ""}, "spec.os.name: Required value: cannot be empty"),
    ("deployment", "spec.template.spec.overhead", {"cpu": "-1"},
     'spec.template.spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    ("pod", "spec.tolerations", [{"key": "k", "value": "x" * 64 + "!"}],
     (f'spec.tolerations[0].operator: Invalid value: "{"x" * 64}!": must be no more than 63 bytes;{LABEL_VALUE}')),
    ("pod", "metadata", {"name": "x", "annotations": {"kubernetes.io/config.mirror": "m"}},
     ('metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "m": '
      "must set spec.nodeName if mirror pod annotation is set")),
    ("pod", "metadata", {"name": "x", "annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}},
     'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer'),
    ("pod", "metadata", {"name": "x", "annotations": {"seccomp.security.alpha.kubernetes.io/pod": "odd"}},
     ('metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "odd": must be a valid seccomp profile')),
    ("pod", "metadata", {"name": "x", "annotations": {"container.apparmor.security.beta.kubernetes.io/n": "odd"}},
     ('metadata.annotations[container.apparmor.security.beta.kubernetes.io/n]: Invalid value: "n": container not found\n'
      'metadata.annotations[container.apparmor.security.beta.kubernetes.io/n]: Invalid value: "odd": '
      'invalid AppArmor profile name: "odd"')),
    ("gated", "spec.nodeName", "n",
     "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
    ("deployment", "spec.template.metadata.annotations", {"controller.kubernetes.io/pod-deletion-cost": "x"},
     ('spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer')),
    ("limits", "spec.limits", [{"type": "Container", "default": {"a.io/g": "2"}, "defaultRequest": {"a.io/g": "1"}}],
     ('spec.limits[0].defaultRequest[a.io/g]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in '
      "a.io/g")),
    ("quota", "spec.scopes", ["Odd"], 'spec.scopes: Invalid value: ["Odd"]: unsupported scope'),
    ("quota", "spec", {"hard": {"ephemeral-storage": "1"}, "scopes": ["NotBestEffort"]},
     'spec.scopes: Invalid value: ["NotBestEffort"]: unsupported scope applied to resource'),
    ("quota", "spec.scopeSelector", {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["a"]}]},
     f'spec.scopeSelector.matchExpressions.operator: Invalid value: "In": {EXISTS}'),
    ("quota", "spec.scopeSelector", {"matchExpressions": [{"scopeName": "Odd", "operator": "Exists"}]},
     'spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope'),
    ("quota", "spec", {"hard": {"services": "1"}, "scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "Exists"}]}},
     ('spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"PriorityClass","Operator":"Exists",'
      '"Values":null}]}: unsupported scope applied to resource')),
    ("secret", "", {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
     "data[ssh-privatekey]: Required value"),
    ("secret", "", {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eHg="}},
     ('data[.dockercfg]: Invalid value: "<secret contents redacted>": invalid character \'x\' looking for beginning of value')),
    ("secret", "", {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "W10="}},
     ('data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type '
      "map[string]interface {}")),
]  # fmt: skip
KEPT: list[tuple[str, str, Any, str]] = [
    ("pod", f"{C}.image", "j", ""),
    ("pod", f"{C}.image", "", f"{C}.image: Required value\n{C}.image: Required value"),
    ("pod", "spec.activeDeadlineSeconds", 0,
     "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
    ("pod", "metadata.annotations", {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
     ("metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not add AppArmor annotations")),
    ("gated", "spec.schedulingGates", [{"name": "h"}],
     "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"),
    ("gated", "spec.nodeSelector", {"a": "b", "c": "d"}, ""),
    ("gated", "spec.nodeSelector", {"a": "c"}, ('spec.nodeSelector: Invalid value: {"a":"c"}: only additions to '
     "spec.nodeSelector are allowed (no mutations or deletions)")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    probe = PROBES[kind] if path else Probe(PROBES[kind].gvr, value)
    await probe.refuses(world, path or "kind", value if path else "x", expected)


@pytest.mark.parametrize(("kind", "path", "value", "expected"), KEPT)
async def test_kept(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].keeps(world, path, value, expected)


async def test_a_template_may_say_what_a_pod_may_not(world: World) -> None:
    body = changed(PROBES["deployment"].body, "spec.template.spec.containers[0].image", " i ")
    await PROBES["deployment"].create(world, body)


async def resized(world: World, container: int, resources: Obj, policy: Any = DROP) -> list[str]:
    """Causes of a resize of an init container; none if it may be made."""
    probe = PROBES["sidecar"]
    await probe.create(world)
    registry = world.registries[probe.gvr]

    def change(old: Obj) -> Obj:
        path = f"spec.initContainers[{container}]"
        new = changed(old, f"{path}.resources", resources)
        return new if policy is DROP else changed(new, f"{path}.resizePolicy", policy)

    write = world.write(registry.resource, NAMESPACE, "resize", "x", False)
    try:
        result = await registry.update(NAMESPACE, "x", change, write, SCOPES["resize"])
    except StatusError as error:
        return [f"{cause['field']}: {cause['message']}" for cause in (error.details or {})["causes"]]
    assert result.value["spec"]["initContainers"][container]["resources"] == resources
    return []


async def test_sidecars_may_be_resized(world: World) -> None:
    assert await resized(world, 0, {"requests": {"cpu": "2"}}) == []


async def test_of_a_sidecar_only_amounts_may_change(world: World) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    assert await resized(world, 0, {"requests": {"cpu": "2"}}, policy) == [
        "spec: Forbidden: only cpu and memory resources for sidecar containers are mutable"
    ]


async def test_other_init_containers_may_not_be_resized(world: World) -> None:
    assert await resized(world, 1, {"requests": {"cpu": "2"}}) == [
        "spec: Forbidden: resources for non-sidecar init containers are immutable"
    ]


STATUS: list[tuple[Obj, str]] = [
    (
        {"conditions": [{"type": "a b", "status": "True"}, {"type": "Ready", "status": "True"}]},
        "metadata.conditions[0].Type",
    ),
    ({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}, "status.hostIPs[1]"),
    ({"qosClass": "Guaranteed"}, "status.qosClass"),
    ({"resourceClaimStatuses": [{"name": "x"}]}, "status.resourceClaimStatuses[0].name"),
    ({"phase": "Running"}, ""),
]


@pytest.mark.parametrize(("status", "field"), STATUS)
async def test_status(world: World, status: Obj, field: str) -> None:
    probe = PROBES["pod"]
    await probe.create(world)
    registry = world.registries[probe.gvr]
    write = world.write(registry.resource, NAMESPACE, "status", "x", False)
    writing = registry.update(NAMESPACE, "x", lambda old: changed(old, "status", status), write, SCOPES["status"])
    if not field:
        await writing
        return
    with pytest.raises(StatusError) as caught:
        await writing
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["field"] == field


async def test_system_priority_classes_stay(world: World) -> None:
    gvr = GVR("scheduling.k8s.io", "v1", "priorityclasses")
    await world.create(gvr, {"metadata": {"name": "system-node-critical"}, "value": 2000001000}, "")
    registry = world.registries[gvr]
    with pytest.raises(StatusError, match="this is a system priority class and cannot be deleted"):
        await registry.delete("", "system-node-critical", {}, world.write(registry.resource, "", "", "x", False))


async def test_addresses_of_a_node_are_there_once_from_its_first_update_on(world: World) -> None:
    twice = {"addresses": [{"type": "Hostname", "address": "h"}] * 2}
    node = Probe(GVR("", "v1", "nodes"), {"spec": {}, "status": twice})
    await node.create(world)
    expected = 'status.addresses[1]: Duplicate value: {"Type":"Hostname","Address":"h"}'
    registry = world.registries[node.gvr]
    write = world.write(registry.resource, "", "", "x", False)
    with pytest.raises(StatusError) as caught:
        await registry.update("", "x", lambda old: changed(old, "metadata.labels", {"a": "b"}), write)
    assert caught.value.details is not None
    assert [f"{c['field']}: {c['message']}" for c in caught.value.details["causes"]] == [expected]
