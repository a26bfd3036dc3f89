# ruff: noqa: E501 (a text of Kubernetes reads better on one line)
"""The Pod Security Standards: each check alone, which version has which, and what a namespace's labels make of it."""

from __future__ import annotations

from typing import Any

import pytest
from api_core import Server, make_server

from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security.policy import Policy, Standard, read
from wherry.apiserver.admission.pod_security.standards import LATEST, violations

MERGE = "application/merge-patch+json"
PODS = "/api/v1/namespaces/shop/pods"
HARDENED = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def pod(*contexts: Obj | None, **spec: Any) -> Obj:
    """Containers a, b, ... with these security contexts."""
    made = [
        {"name": name, "image": "i:1", **({} if each is None else {"securityContext": each})}
        for name, each in zip("abc", contexts or (None,), strict=False)
    ]
    return {"containers": made, **spec}


def told(level: str, spec: Obj, minor: int = LATEST, annotations: dict[str, str] | None = None) -> str:
    return ", ".join(map(str, violations(level, minor, {"annotations": annotations or {}}, spec)))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (pod(), ""),
        (pod({"privileged": True}), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (pod({"privileged": True}, {"privileged": True}), 'privileged (containers "a", "b" must not set securityContext.privileged=true)'),
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        ({"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]}, 'hostPort (container "a" uses hostPorts 443, 80)'),
        ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}}]}, 'probe or lifecycle host (container "a" uses probe or lifecycle host "h")'),
        (pod({"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}), 'non-default capabilities (container "a" must not include "SYS_ADMIN" in securityContext.capabilities.add)'),
        (pod({"procMount": "Unmasked"}), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
        (pod({"procMount": "Unmasked"}, hostUsers=False), ""),
        (pod({"seLinuxOptions": {"type": "x_t", "user": "u"}}), 'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "x_t"; user may not be set)'),
        (pod({"seccompProfile": {"type": "Unconfined"}}, securityContext={"seccompProfile": {"type": "Unconfined"}}),
         'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")'),
        (pod({"appArmorProfile": {"type": "Unconfined"}}), 'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")'),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}), "forbidden sysctls (kernel.msgmax)"),
        (pod({"windowsOptions": {"hostProcess": True}}), 'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)'),
    ],
)  # fmt: skip
def test_baseline(spec: Obj, text: str) -> None:
    assert told("baseline", spec) == text
    assert told("privileged", spec) == ""


NOTHING_SET = (
    'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (pod(), NOTHING_SET),
        (pod(HARDENED), ""),
        (pod({"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}), ""),
        (pod({**HARDENED, "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}),
         'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)'),
        (pod({**HARDENED, "runAsNonRoot": False}), 'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)'),
        (pod({**HARDENED, "runAsUser": 0}, securityContext={"runAsUser": 0}), 'runAsUser=0 (pod and container "a" must not set runAsUser=0)'),
        (pod({**HARDENED, "runAsUser": 0, "runAsNonRoot": False}, hostUsers=False), ""),
        (pod(HARDENED, volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "nfs": {}}, {"name": "x", "emptyDir": {}}]),
         'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")'),
        (pod({**HARDENED, "procMount": "Unmasked"}, hostUsers=False), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
        (pod({"runAsNonRoot": True}, os={"name": "windows"}), ""),
    ],
)  # fmt: skip
def test_restricted(spec: Obj, text: str) -> None:
    assert told("restricted", spec) == text


@pytest.mark.parametrize(
    ("level", "minor", "spec", "violated"),
    [
        ("restricted", 7, pod({"runAsNonRoot": True}), False),
        ("restricted", 8, pod({"runAsNonRoot": True}), True),
        ("baseline", 31, pod({"seLinuxOptions": {"type": "container_engine_t"}}), False),
        ("baseline", 30, pod({"seLinuxOptions": {"type": "container_engine_t"}}), True),
        ("baseline", 33, {"containers": [{"name": "a", "livenessProbe": {"tcpSocket": {"host": "h"}}}]}, False),
        ("baseline", 34, {"containers": [{"name": "a", "livenessProbe": {"tcpSocket": {"host": "h"}}}]}, True),
        ("baseline", 34, pod({"procMount": "Unmasked"}, hostUsers=False), True),
        ("baseline", 26, pod(securityContext={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), True),
        ("baseline", 27, pod(securityContext={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), False),
        ("restricted", 24, pod({**HARDENED, "capabilities": {}}, os={"name": "windows"}), True),
    ],
)
def test_versions(level: str, minor: int, spec: Obj, violated: bool) -> None:
    assert bool(told(level, spec, minor)) is violated


def test_annotations_from_before_there_were_fields() -> None:
    apparmor = {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    text = 'forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined"")'
    assert told("baseline", pod(), LATEST, apparmor) == text
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert (
        told("baseline", pod(), 18, seccomp)
        == 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert told("baseline", pod(), 19, seccomp) == ""


def labels(**said: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in said.items()}


@pytest.mark.parametrize(
    ("said", "policy", "problems"),
    [
        ({}, Policy(), []),
        ({"enforce": "baseline"}, Policy(Standard("baseline"), Standard(), Standard("baseline")), []),
        ({"enforce": "restricted", "enforce_version": "v1.25", "warn": "baseline"},
         Policy(Standard("restricted", 25), Standard(), Standard("baseline")), []),
        ({"enforce": "strict"}, Policy(Standard("restricted")), ["must be one of privileged, baseline, restricted"]),
        ({"warn": "strict", "audit_version": "1.25"}, Policy(), ['must be "latest" or "v1.x"', "must be one of privileged, baseline, restricted"]),
    ],
)  # fmt: skip
def test_labels(said: dict[str, str], policy: Policy, problems: list[str]) -> None:
    found, causes = read(labels(**said))
    assert found == policy
    assert [cause.message.rpartition(": ")[2] for cause in causes] == problems


# -- through the server


async def labelled(server: Server, **said: str) -> Any:
    return await server.ask(
        "PATCH", "/api/v1/namespaces/shop", {"metadata": {"labels": labels(**said)}}, content_type=MERGE
    )


async def make(server: Server, name: str = "p", **spec: Any) -> Any:
    return await server.ask("POST", PODS, {"metadata": {"name": name}, "spec": pod(**spec)})


async def cluster() -> Server:
    server = await make_server()
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    return server


async def test_a_pod_is_refused_and_nothing_said_about_a_template_but_a_warning() -> None:
    server = await cluster()
    await labelled(server, enforce="restricted")
    said = await make(server)
    assert (said.status, said.message) == (
        403,
        f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {NOTHING_SET}',
    )
    assert said.warnings == []
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    said = await server.ask("POST", "/apis/apps/v1/namespaces/shop/deployments", body)
    assert (said.status, said.warnings) == (201, [f'would violate PodSecurity "restricted:latest": {NOTHING_SET}'])
    job = {
        "metadata": {"name": "j"},
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**pod(), "restartPolicy": "Never"}}}},
        },
    }
    said = await server.ask("POST", "/apis/batch/v1/namespaces/shop/cronjobs", job)
    assert (said.status, said.warnings) == (201, [f'would violate PodSecurity "restricted:latest": {NOTHING_SET}'])


async def test_warnings_only() -> None:
    server = await cluster()
    await labelled(server, warn="baseline", warn_version="v1.30")
    said = await make(server, hostPID=True)
    assert (said.status, said.warnings) == (
        201,
        ['would violate PodSecurity "baseline:v1.30": host namespaces (hostPID=true)'],
    )


async def test_labels_nobody_can_read_are_refused() -> None:
    server = await cluster()
    said = await labelled(server, enforce="strict")
    text = 'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted'
    assert (said.status, said.body["reason"]) == (422, "Invalid")
    assert said.message == f'namespaces "shop" is forbidden: Namespace "shop" is invalid: {text}'


async def test_a_stricter_level_tells_of_the_pods_that_are_there() -> None:
    server = await cluster()
    for name in ("b", "a", "c"):
        await make(server, name, hostPID=True)
    await make(server, "d", hostNetwork=True)
    said = await labelled(server, enforce="baseline")
    assert said.status == 200
    assert said.warnings == [
        'existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 3 other pods): host namespaces",
    ]
    assert (await labelled(server, enforce="privileged")).warnings == []


async def test_what_runs_may_go_on_and_be_labelled() -> None:
    server = await cluster()
    await make(server, hostPID=True)
    await labelled(server, enforce="baseline")
    assert (
        await server.ask("PATCH", f"{PODS}/p", {"metadata": {"labels": {"x": "y"}}}, content_type=MERGE)
    ).status == 200
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "i:2"}]
    said = await server.ask("PATCH", f"{PODS}/p", image, content_type="application/json-patch+json")
    assert (
        said.message == 'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    )
