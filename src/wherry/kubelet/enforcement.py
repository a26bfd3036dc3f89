"""What a pod asks for that this node does not enforce, said by name. Pure.

The rule of the house: nothing is ignored silently. The answer becomes one event for the pod (`NotEnforced`) and a
condition; with `strict` the pod is refused instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.security import effective

PLAIN_TIER = "proc"


def not_enforced(pod: Obj, runtime: Mapping[str, str], policies: Sequence[str] = ()) -> list[str]:
    """One text for each thing that is not enforced; `runtime` is `RuntimeService.status()`, `policies` are the names of the
    NetworkPolicies that select the pod."""
    spec = pod["spec"]
    plain = runtime.get("tier") == PLAIN_TIER
    found = [
        f"{name}: the machine's processes and memory are not shown"
        for name in ("hostPID", "hostIPC")
        if spec.get(name) and not plain
    ]
    if spec.get("hostUsers") is False:
        found.append("hostUsers: the pod gets no user namespace of its own")
    if spec.get("resourceClaims"):
        names = ", ".join(claim["name"] for claim in spec["resourceClaims"])
        found.append(f"resourceClaims: no device is given ({names})")
    if spec.get("runtimeClassName"):
        found.append(f"runtimeClassName: there is one runtime, the handler of {spec['runtimeClassName']} is not used")
    groups = [name for name in ("schedulingGroup", "workloadRef") if spec.get(name)]
    found += [f"{name}: pods of a group are placed one by one" for name in groups]
    if spec.get("evictionResponders"):
        found.append("evictionResponders: nobody is asked before an eviction")
    reason = runtime.get("limits", "")
    if reason and {"cpu", "memory"} & ((spec.get("resources") or {}).get("limits") or {}).keys():
        found.append(f"resources.limits: {reason}")
    context = spec.get("securityContext") or {}
    reason = runtime.get("users", "")
    if reason and (context.get("fsGroup") or context.get("supplementalGroups")):
        found.append(f"securityContext.fsGroup: {reason}")
    for container in pod_spec.all_containers(pod):
        found += _of_container(pod, container, runtime)
        if plain:
            found += _without_namespaces(pod, container)
        elif container.get("targetContainerName") and not spec.get("shareProcessNamespace"):
            found.append(
                f"ephemeralContainers[{container['name']}].targetContainerName: it does not see the processes of "
                f"{container['targetContainerName']}"
            )
    if plain:
        found += _volumes_without_mounts(pod)
    for volume in pod["spec"].get("volumes") or ():
        found += _of_volume(volume)
    found += [f"networkPolicy {name}: nothing is filtered, every pod reaches every other" for name in policies]
    return list(dict.fromkeys(found))


def _of_volume(volume: Obj) -> list[str]:
    found = []
    source = volume.get("emptyDir") or {}
    if source.get("sizeLimit") and source.get("medium") != "Memory":
        found.append(f"volumes[{volume['name']}].emptyDir.sizeLimit: the size is not limited")
    kinds = [
        kind
        for kind in ("configMap", "secret", "downwardAPI", "projected")
        if "defaultUser" in (volume.get(kind) or {})
    ]
    name = volume["name"]
    found += [
        f"volumes[{name}].{kind}.defaultUser: its files belong to whom fsGroup and runAsUser say" for kind in kinds
    ]
    return found


def _without_namespaces(pod: Obj, container: Obj) -> list[str]:
    """What plain processes cannot have."""
    name, context = container["name"], effective(pod, container)
    found: list[str] = []
    if context.get("privileged"):
        found.append(f"containers[{name}].securityContext.privileged: no privilege is given")
    added = (context.get("capabilities") or {}).get("add")
    if added:
        found.append(f"containers[{name}].securityContext.capabilities.add: none is given ({', '.join(added)})")
    return found


def _volumes_without_mounts(pod: Obj) -> list[str]:
    found = []
    if pod["spec"].get("shareProcessNamespace") is False:
        found.append("shareProcessNamespace: processes of all pods see one another")
    in_memory = [v for v in pod["spec"].get("volumes") or () if (v.get("emptyDir") or {}).get("medium") == "Memory"]
    found += [f"volumes[{v['name']}].emptyDir.medium: it lies on the disk, without a limit" for v in in_memory]
    return found


def _of_container(pod: Obj, container: Obj, runtime: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    name = container["name"]
    ports = [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]
    if ports and not pod_spec.host_network(pod):
        found.append(f"containers[{name}].ports.hostPort: no port of the machine is opened ({', '.join(ports)})")
    if any(mount.get("bindMountOptions") for mount in container.get("volumeMounts") or ()):
        found.append(f"containers[{name}].volumeMounts.bindMountOptions: mounts have their usual options")
    limits = (container.get("resources") or {}).get("limits") or {}
    reason = runtime.get("limits", "")
    if reason and {"cpu", "memory"} & limits.keys():
        found.append(f"containers[{name}].resources.limits: {reason}")
    if "ephemeral-storage" in limits:
        found.append(f"containers[{name}].resources.limits.ephemeral-storage: disk use is not limited")
    context = effective(pod, container)
    reason = runtime.get("users", "")
    # Where there is one user it looks like root, but for plain processes.
    asked = [context.get(name) for name in ("runAsUser", "runAsGroup")]
    if reason and (any(asked) or (runtime.get("tier") == PLAIN_TIER and 0 in asked)):
        found.append(f"containers[{name}].securityContext.runAsUser: {reason}")
    reason = runtime.get("escalation", "")
    if reason and context.get("allowPrivilegeEscalation"):
        found.append(f"containers[{name}].securityContext.allowPrivilegeEscalation: {reason}")
    profile = (context.get("seccompProfile") or {}).get("type")
    if profile not in (None, "Unconfined"):
        found.append(f"containers[{name}].securityContext.seccompProfile: no seccomp profile is loaded")
    profile = (context.get("appArmorProfile") or {}).get("type")
    if profile not in (None, "Unconfined"):
        found.append(f"containers[{name}].securityContext.appArmorProfile: no AppArmor profile is loaded")
    if context.get("seLinuxOptions"):
        found.append(f"containers[{name}].securityContext.seLinuxOptions: SELinux labels are not set")
    if context.get("procMount") == "Unmasked":
        found.append(f"containers[{name}].securityContext.procMount: /proc stays as it is")
    return found
