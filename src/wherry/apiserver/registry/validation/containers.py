"""Containers of a pod spec: the regular ones, init containers (sidecars among them) and ephemeral ones."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import env, mounts, probes, resources, security
from wherry.apiserver.registry.validation import field as f

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_EPHEMERAL_FORBIDDEN = (
    *("ports", "livenessProbe", "readinessProbe", "startupProbe", "resources", "resizePolicy", "lifecycle"),
)


class PodFacts(Struct, frozen=True):
    """What a container's rules need to know of its pod."""

    sources: Mapping[str, Obj]
    claims: tuple[str, ...]
    grace: int | None
    host_users: bool
    restart: str
    is_pod: bool
    """False in a template, where Kubernetes minds less."""

    @classmethod
    def of(cls, spec: Obj, sources: Mapping[str, Obj], is_pod: bool) -> PodFacts:
        return cls(
            sources,
            tuple(claim.get("name") or "" for claim in f.as_list(spec.get("resourceClaims"))),
            spec.get("terminationGracePeriodSeconds"),
            spec.get("hostUsers") is not False,
            spec.get("restartPolicy") or "",
            is_pod,
        )


def containers(spec: Obj, sources: Mapping[str, Obj], path: str, is_pod: bool) -> list[Cause]:
    """All containers of a pod spec; names are unique across the three lists. `sources`: its valid volumes by name."""
    facts = PodFacts.of(spec, sources, is_pod)
    regular = f.as_list(spec.get("containers"))
    init = f.as_list(spec.get("initContainers"))
    causes: list[Cause] = [] if regular else [f.required(f"{path}.containers")]
    taken: set[str] = set()
    for i, container in enumerate(regular):
        at = f"{path}.containers[{i}]"
        causes += _common(container, facts, at) + _unique(container, taken, at)
        causes += probes.lifecycle(container, at, facts.grace) + probes.probes(container, at, facts.grace)
        causes += f.one_of(container.get("restartPolicy"), f"{at}.restartPolicy", ("Always", "OnFailure", "Never"))
        causes += _same_ports(container, f"{at}.ports") if spec.get("hostNetwork") else []
    causes += _host_ports(regular, f"{path}.containers")
    for i, container in enumerate(init):
        at = f"{path}.initContainers[{i}]"
        causes += _common(container, facts, at) + _unique(container, taken, at) + _init(container, facts, at)
        causes += _host_ports([container], f"{path}.initContainers", i)
    return causes + _ephemeral(spec, facts, taken, f"{path}.ephemeralContainers")


def _unique(container: Obj, taken: set[str], path: str) -> list[Cause]:
    name = container.get("name") or ""
    if name in taken:
        return [f.duplicate(f"{path}.name", name)]
    taken.add(name)
    return []


def _common(container: Obj, facts: PodFacts, path: str) -> list[Cause]:
    name, image = container.get("name") or "", container.get("image") or ""
    causes: list[Cause] = []
    if not name:
        causes.append(f.required(f"{path}.name"))
    else:
        causes += f.each_invalid(f"{path}.name", name, names.dns1123_label(name))
    if not image:
        causes.append(f.required(f"{path}.image"))
    elif image != image.strip() and facts.is_pod:
        causes.append(f.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policies = ("File", "FallbackToLogsOnError")
    causes += f.one_of(container.get("terminationMessagePolicy"), f"{path}.terminationMessagePolicy", policies)
    causes += _ports(f.as_list(container.get("ports")), f"{path}.ports")
    causes += env.env(f.as_list(container.get("env")), f"{path}.env")
    causes += env.env_from(f.as_list(container.get("envFrom")), f"{path}.envFrom")
    causes += mounts.mounts(container, facts.sources, path)
    causes += f.one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", PULL_POLICIES)
    causes += resources.requirements(f.as_dict(container.get("resources")), facts.claims, f"{path}.resources")
    causes += _resize_policy(f.as_list(container.get("resizePolicy")), facts.restart, f"{path}.resizePolicy")
    context = container.get("securityContext")
    return causes + security.container_security_context(context, f"{path}.securityContext", facts.host_users)


def _ports(ports: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        at = f"{path}[{i}]"
        name, number = port.get("name") or "", port.get("containerPort") or 0
        if name:
            problems = names.port_name(name)
            causes += f.each_invalid(f"{at}.name", name, problems)
            if not problems and name in seen:
                causes.append(f.duplicate(f"{at}.name", name))
            seen.add(name)
        causes += f.port_number(number, f"{at}.containerPort") if number else [f.required(f"{at}.containerPort")]
        host = port.get("hostPort") or 0
        if host:
            causes += f.port_number(host, f"{at}.hostPort")
        causes += f.one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS, need=True)
    return causes


def _same_ports(container: Obj, path: str) -> list[Cause]:
    """In the node's own network a container's port is the node's."""
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        f.invalid(f"{path}[{i}].hostPort", port["hostPort"], detail)
        for i, port in enumerate(f.as_list(container.get("ports")))
        if port.get("hostPort") and port["hostPort"] != port.get("containerPort")
    ]


def _host_ports(listed: list[Obj], path: str, first: int = 0) -> list[Cause]:
    """Host ports that two containers of one pod would both bind."""
    causes: list[Cause] = []
    taken: set[str] = set()
    for i, container in enumerate(listed, first):
        for k, port in enumerate(f.as_list(container.get("ports"))):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in taken:
                causes.append(f.duplicate(f"{path}[{i}].ports[{k}].hostPort", key))
            taken.add(key)
    return causes


def _resize_policy(listed: list[Obj], pod_restart: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, policy in enumerate(listed):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            causes.append(f.duplicate(f"{path}[{i}]", name))
        seen.add(name)
        if pod_restart == "Never" and restart != "NotRequired":
            causes.append(f.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
        causes += f.one_of(name, path, ("cpu", "memory"), need=True)
        causes += f.one_of(restart, path, ("NotRequired", "RestartContainer"), need=True)
    return causes


def _init(container: Obj, facts: PodFacts, path: str) -> list[Cause]:
    """A sidecar (`restartPolicy: Always`) lives on, so it may have probes and a lifecycle; others end."""
    policy = container.get("restartPolicy")
    causes = f.one_of(policy, f"{path}.restartPolicy", ("Always", "OnFailure", "Never"))
    if policy == "Always":
        return causes + probes.lifecycle(container, path, facts.grace) + probes.probes(container, path, facts.grace)
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            causes.append(
                f.forbidden(f"{path}.{key}", "may not be set for init containers without restartPolicy=Always")
            )
    return causes


def _ephemeral(spec: Obj, facts: PodFacts, taken: set[str], path: str) -> list[Cause]:
    targets = {each.get("name") for key in ("containers", "initContainers") for each in f.as_list(spec.get(key))}
    causes: list[Cause] = []
    for i, container in enumerate(f.as_list(spec.get("ephemeralContainers"))):
        at = f"{path}[{i}]"
        permitted = {key: value for key, value in container.items() if key not in _EPHEMERAL_FORBIDDEN}
        causes += _common(permitted, facts, at) + _unique(container, taken, at)
        target = container.get("targetContainerName")
        if target and target not in targets:
            causes.append(f.not_found(f"{at}.targetContainerName", target))
        for key in _EPHEMERAL_FORBIDDEN:
            if container.get(key):
                causes.append(f.forbidden(f"{at}.{key}", "cannot be set for an Ephemeral Container"))
        for k, mount in enumerate(f.as_list(container.get("volumeMounts"))):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    field = f"{at}.volumeMounts[{k}].{key}"
                    causes.append(f.forbidden(field, "cannot be set for an Ephemeral Container"))
    return causes
