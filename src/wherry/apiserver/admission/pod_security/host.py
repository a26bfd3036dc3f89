"""Checks of what a pod shares with its host: namespaces, ports, volumes, probes, /proc, sysctls, Windows' host processes."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security.words import (
    Violation,
    containers,
    context,
    in_user_namespace,
    named,
    plural,
    quoted,
    setters,
    some,
)

_SHARED = ("hostNetwork", "hostPID", "hostIPC")
_PROBES, _HOOKS = ("livenessProbe", "readinessProbe", "startupProbe"), ("postStart", "preStop")
_HARMLESS_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd", "flexVolume",
    "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk",
    "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip
_SYSCTLS = {
    0: ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start"),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: ("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
         "net.ipv4.tcp_keepalive_probes"),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}  # fmt: skip
"""The minor version of the standard -> what it began to allow."""


def namespaces(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    shared = [f"{key}=true" for key in _SHARED if spec.get(key)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def path_volumes(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names = [each.get("name", "") for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    return Violation("hostPath volumes", some("volume", names)) if names else None


def restricted_volumes(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names: list[str] = []
    kinds: set[str] = set()
    for volume in spec.get("volumes") or ():
        if any(volume.get(source) is not None for source in _HARMLESS_VOLUMES):
            continue
        names.append(volume.get("name", ""))
        kinds.add(next((source for source in _OTHER_VOLUMES if volume.get(source) is not None), "unknown"))
    if not names:
        return None
    use = "uses" if len(names) == 1 else "use"
    what = f"{some('volume', names)} {use} {some('restricted volume type', sorted(kinds))}"
    return Violation("restricted volume types", what)


def ports(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    used: dict[str, list[str]] = {}
    for container in containers(spec):
        found = [str(each["hostPort"]) for each in container.get("ports") or () if each.get("hostPort")]
        if found:
            used[container.get("name", "")] = found
    if not used:
        return None
    numbers = sorted({port for each in used.values() for port in each})
    use = "uses" if len(used) == 1 else "use"
    return Violation(
        "hostPort", f"{some('container', list(used))} {use} {plural('hostPort', len(numbers))} {', '.join(numbers)}"
    )


def probes(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    """From 1.34 on: a probe or hook that names a host makes the node ask somebody for the pod."""
    names: set[str] = set()
    hosts: set[str] = set()
    for container in containers(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(key) for key in _PROBES] + [lifecycle.get(key) for key in _HOOKS]
        found = {
            str(handler[kind]["host"])
            for handler in handlers
            if handler
            for kind in ("httpGet", "tcpSocket")
            if (handler.get(kind) or {}).get("host")
        }
        if found:
            names.add(container.get("name", ""))
            hosts |= found
    if not names:
        return None
    use = "uses" if len(names) == 1 else "use"
    what = f"{some('container', sorted(names))} {use} {some('probe or lifecycle host', sorted(hosts))}"
    return Violation("probe or lifecycle host", what)


def proc_mount(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    kinds = {str(context(each).get("procMount") or "Default") for each in containers(spec)} - {"Default"}
    if not kinds:
        return None
    names = named(spec, lambda each: context(each).get("procMount") in kinds)
    return Violation(
        "procMount", f"{some('container', names)} must not set securityContext.procMount to {quoted(sorted(kinds))}"
    )


def proc_mount_of_hosts(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    """From 1.35 on baseline lets pods in a user namespace have their /proc as they like."""
    return None if in_user_namespace(spec) else proc_mount(metadata, spec, minor)


def sysctls(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = {name for since, names in _SYSCTLS.items() if since <= minor for name in names}
    wanted = [each.get("name", "") for each in context(spec).get("sysctls") or ()]
    bad = [name for name in wanted if name not in allowed]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def host_process(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    def wants(holder: Obj) -> bool:
        return bool((context(holder).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(wants(spec), named(spec, wants))
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )
