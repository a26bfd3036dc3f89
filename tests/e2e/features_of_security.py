"""What pods are promised of users, privileges and limits."""

from __future__ import annotations

import os

from kubectl import Kubectl
from manifests import Obj
from tier_features import Feature, Seen, checked

USERS = {"ns-user": "with subordinate ids, else said"}
PRIVILEGES = dict.fromkeys(("ns-root", "ns-user"), "unless Wherry was started with no_new_privs, then said")
GROUPS = {"ns-root": "with cgroups, else said", "ns-user": "with cgroups, else said"}
_CAPABILITIES = "$(( 0x$(grep CapEff /proc/self/status | cut -f2) ))"
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21


MARK = f"wherry-e2e-{os.getpid()}"
"""A file of the machine's /dev/shm while the test runs."""


def secured(name: str, text: str, script: str, context: Obj, **more: object) -> Feature:
    return checked(name, text, script, main={"securityContext": context}, **more)  # type: ignore[arg-type]


def limited(name: str, text: str, script: str, limits: Obj, **more: object) -> Feature:
    given = {"depends": GROUPS, **more}
    return checked(name, text, script, main={"resources": {"limits": limits}}, **given)  # type: ignore[arg-type]


def _refused_as_root(_: Kubectl, seen: Seen) -> bool | None:
    return "non-root" in seen.refusal or None


def _killed_for_memory(_: Kubectl, seen: Seen) -> bool | None:
    return seen.ended.get("reason") == "OOMKilled" if seen.ended else None


FEATURES = (
    secured(
        "user",
        "runAsUser, runAsGroup",
        "[ $(id -u) = 1234 ]; [ $(id -g) = 2345 ]",
        {"runAsUser": 1234, "runAsGroup": 2345},
        asks="securityContext.runAsUser",
        depends=USERS,
        by_chance=True,  # such users are pretended where there is but one
    ),
    secured("root-user", "runAsUser: 0", "[ $(id -u) = 0 ]", {"runAsUser": 0}, asks="securityContext.runAsUser"),
    checked(
        "group",
        "fsGroup, supplementalGroups",
        "id -G | grep -q 4567; [ $(stat -c %g /v) = 3456 ]; touch /v/x",
        asks="securityContext.fsGroup",
        depends=USERS,
        securityContext={"fsGroup": 3456, "supplementalGroups": [4567]},
        volumes=[{"name": "v", "emptyDir": {}}],
        main={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    ),
    secured(
        "not-root",
        "runAsNonRoot refuses root",
        "true",
        {"runAsNonRoot": True, "runAsUser": 0},
        look=_refused_as_root,
    ),
    secured(
        "more",
        "capabilities.add",
        f"[ $(( {_CAPABILITIES} >> {_CAP_NET_ADMIN} & 1 )) = 1 ]",
        {"capabilities": {"add": ["NET_ADMIN"]}},
        asks="securityContext.capabilities.add",
    ),
    secured("none", "capabilities.drop", f"[ {_CAPABILITIES} = 0 ]", {"capabilities": {"drop": ["ALL"]}}),
    secured(
        "privileged",
        "privileged",
        f"[ $(( {_CAPABILITIES} >> {_CAP_SYS_ADMIN} & 1 )) = 1 ]",
        {"privileged": True},
        asks="securityContext.privileged",
    ),
    secured(
        "stays",
        "allowPrivilegeEscalation: false",
        "grep -q 'NoNewPrivs:.1' /proc/self/status",
        {"allowPrivilegeEscalation": False},
    ),
    secured(
        "rises",
        "allowPrivilegeEscalation: true",
        "grep -q 'NoNewPrivs:.0' /proc/self/status",
        {"allowPrivilegeEscalation": True},
        asks="securityContext.allowPrivilegeEscalation",
        depends=PRIVILEGES,
    ),
    secured(
        "seccomp",
        "seccompProfile",
        "true",
        {"seccompProfile": {"type": "RuntimeDefault"}},
        asks="securityContext.seccompProfile",
        by_chance=True,
    ),
    secured(
        "app-armor",
        "appArmorProfile",
        "true",
        {"appArmorProfile": {"type": "RuntimeDefault"}},
        asks="securityContext.appArmorProfile",
        by_chance=True,
    ),
    secured(
        "se-linux",
        "seLinuxOptions",
        "true",
        {"seLinuxOptions": {"level": "s0:c1"}},
        asks="securityContext.seLinuxOptions",
        by_chance=True,
    ),
    checked("host-pid", "hostPID", f"grep -qa python /proc/{os.getpid()}/cmdline", hostPID=True, asks="hostPID"),
    checked("host-ipc", "hostIPC", f"[ -e /dev/shm/{MARK} ]", hostIPC=True, asks="hostIPC"),
    checked(
        "own-users",
        "hostUsers: false",
        "true",
        hostUsers=False,
        asks="hostUsers",
        by_chance=True,
    ),
    checked(
        "runtime",
        "runtimeClassName",
        "true",
        runtimeClassName="sandboxed",
        asks="runtimeClassName",
        by_chance=True,
        more=(
            {
                "apiVersion": "node.k8s.io/v1",
                "kind": "RuntimeClass",
                "metadata": {"name": "sandboxed"},
                "handler": "vm",
            },
        ),
    ),
    limited(
        "too-much",
        "resources.limits.memory: OOMKilled",
        "python3 -c 'x = bytearray(200 << 20)'; exit 1",
        {"memory": "50Mi"},
        look=_killed_for_memory,
        asks="resources.limits",
    ),
    limited(
        "cpu",
        "resources.limits.cpu",
        """python3 -c '
import time
for _ in range(10):
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + 0.5:
        pass
    if time.process_time() - used < 0.3:
        raise SystemExit(0)
raise SystemExit(1)'""",
        {"cpu": "200m"},
        asks="resources.limits",
        by_chance=True,
    ),
    limited(
        "disk",
        "resources.limits.ephemeral-storage",
        "exit 1",
        {"ephemeral-storage": "1Mi"},
        depends={},
        asks="resources.limits.ephemeral-storage",
    ),
)
