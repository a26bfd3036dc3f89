"""Reading a Pod: the few questions everyone here asks of its spec. Pure; never changes the object."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.types import Obj

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def uid_of(pod: Obj) -> str:
    return str(pod["metadata"]["uid"])


def name_of(pod: Obj) -> str:
    return str(pod["metadata"]["name"])


def namespace_of(pod: Obj) -> str:
    return str(pod["metadata"]["namespace"])


def full_name(pod: Obj) -> str:
    """`name_namespace(uid)`: how kubelet names a pod in messages."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("containers") or ())


def init_containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("initContainers") or ())


def ephemeral_containers(pod: Obj) -> list[Obj]:
    return list(pod["spec"].get("ephemeralContainers") or ())


def all_containers(pod: Obj) -> Iterator[Obj]:
    """Init containers first, in the order of the spec."""
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def find_container(pod: Obj, name: str) -> Obj | None:
    return next((container for container in all_containers(pod) if container["name"] == name), None)


def is_sidecar(container: Obj) -> bool:
    """Meant for members of initContainers: `restartPolicy: Always` makes a native sidecar (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Obj) -> list[Obj]:
    return [container for container in init_containers(pod) if is_sidecar(container)]


def restart_policy(pod: Obj, container: Obj | None = None) -> str:
    """A container's own restartPolicy (KEP-5307) wins over the pod's; the default is Always."""
    own = container.get("restartPolicy") if container is not None else None
    return str(own or pod["spec"].get("restartPolicy") or "Always")


def restarts_after(pod: Obj, container: Obj, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is started again (rules first, then policies)."""
    for rule in container.get("restartPolicyRules") or ():
        wanted = rule.get("exitCodes") or {}
        listed = exit_code in (wanted.get("values") or ())
        if rule.get("action") == "Restart" and listed == (wanted.get("operator") == "In"):
            return True
    policy = restart_policy(pod, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def is_deleted(pod: Obj) -> bool:
    return pod["metadata"].get("deletionTimestamp") is not None


def is_terminal(pod: Obj) -> bool:
    """The phase the API has recorded is final."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def condition(pod: Obj, kind: str) -> Obj | None:
    conditions: list[Obj] = (pod.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def status_lists(status: Obj) -> list[Obj]:
    """All container statuses of a pod status, of whatever list."""
    found: list[Obj] = []
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        found.extend(status.get(key) or ())
    return found


def container_status(pod: Obj, name: str) -> Obj | None:
    """What the API has recorded of one container."""
    return next((entry for entry in status_lists(pod.get("status") or {}) if entry.get("name") == name), None)
