"""Which checks a standard has, by the minor version it is pinned to. Source: Kubernetes' "Pod Security Standards"."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeAlias

from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security import host, privileges, profiles
from wherry.apiserver.admission.pod_security.words import Violation

Check: TypeAlias = Callable[[Obj, Obj, int], Violation | None]
"""(metadata and spec of the pod, minor version) -> what is wrong; pure."""
LATEST = 10_000
"""Newer than any version there will be."""


class _Entry(NamedTuple):
    """A check from one minor version on; `replaces` a baseline check that the restricted one makes superfluous."""

    name: str
    since: int
    check: Check
    replaces: str = ""


_BASELINE = (
    _Entry("appArmorProfile", 0, profiles.apparmor),
    _Entry("capabilities_baseline", 0, privileges.default_capabilities),
    _Entry("hostNamespaces", 0, host.namespaces),
    _Entry("hostPathVolumes", 0, host.path_volumes),
    _Entry("hostPorts", 0, host.ports),
    _Entry("hostProbesAndHostLifecycle", 34, host.probes),
    _Entry("privileged", 0, privileges.privileged),
    _Entry("procMount", 0, host.proc_mount),
    _Entry("procMount", 35, host.proc_mount_of_hosts),
    _Entry("seLinuxOptions", 0, profiles.selinux),
    _Entry("seccompProfile_baseline", 0, profiles.seccomp_annotations),
    _Entry("seccompProfile_baseline", 19, profiles.seccomp),
    _Entry("sysctls", 0, host.sysctls),
    _Entry("windowsHostProcess", 0, host.host_process),
)
_RESTRICTED = (
    _Entry("allowPrivilegeEscalation", 8, privileges.escalation),
    _Entry("capabilities_restricted", 22, privileges.no_capabilities, "capabilities_baseline"),
    _Entry("procMount_restricted", 35, host.proc_mount, "procMount"),
    _Entry("restrictedVolumes", 0, host.restricted_volumes, "hostPathVolumes"),
    _Entry("runAsNonRoot", 0, privileges.non_root),
    _Entry("runAsUser", 23, privileges.not_user_zero),
    _Entry("seccompProfile_restricted", 19, profiles.seccomp_required, "seccompProfile_baseline"),
)


@cache
def checks(level: str, minor: int) -> tuple[Check, ...]:
    """In the order violations are told: baseline's by name, then restricted's."""
    if level == "privileged":
        return ()
    baseline = {each.name: each for each in _BASELINE if each.since <= minor}
    if level == "baseline":
        return tuple(each.check for each in baseline.values())
    restricted = {each.name: each for each in _RESTRICTED if each.since <= minor}
    replaced = {each.replaces for each in restricted.values()}
    kept = [each for name, each in baseline.items() if name not in replaced]
    return tuple(each.check for each in (*kept, *restricted.values()))


def violations(level: str, minor: int, metadata: Obj, spec: Obj) -> list[Violation]:
    """What a pod does that the standard does not allow."""
    found = (check(metadata, spec, minor) for check in checks(level, minor))
    return [each for each in found if each is not None]
