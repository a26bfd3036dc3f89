"""The environment of a container. `resolve` is pure; `Environment.of` fetches what it refers to.

Order, as kubelet's: envFrom, then env (a later name wins), then Service variables that nothing else has set.
Errors are `StartFailure(CreateContainerConfigError)` in kubelet's words.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping

from msgspec import Struct

from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS, SECRETS
from wherry.api.types import GVR, Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.downward import NodeFacts, field_value, resource_value
from wherry.kubelet.expansion import expand
from wherry.kubelet.failures import MissingObject, StartFailure
from wherry.kubelet.objects import Objects

CONFIG_ERROR = "CreateContainerConfigError"
_KINDS = {
    "configMapRef": (CONFIG_MAPS, "ConfigMap"),
    "secretRef": (SECRETS, "Secret"),
    "configMapKeyRef": (CONFIG_MAPS, "ConfigMap"),
    "secretKeyRef": (SECRETS, "Secret"),
}


class Surroundings(Struct, frozen=True):
    """What a pod's environment is made of beside its spec."""

    node: NodeFacts
    pod_address: str
    services: Mapping[str, str]
    """Service variables."""


class Environment:
    def __init__(self, objects: Objects, node: NodeFacts) -> None:
        self._objects = objects
        self._node = node

    async def of(self, pod: Obj, container: Obj, pod_address: str) -> dict[str, str]:
        """All variables of one container, without those of its image."""
        namespace = pod_spec.namespace_of(pod)
        wanted = sorted(references(container))
        found = await asyncio.gather(*(self._fetch(gvr, namespace, name) for gvr, name in wanted))
        sources = dict(zip(wanted, found, strict=True))
        services = service_variables(
            self._objects.services(), namespace, links=pod["spec"].get("enableServiceLinks", True)
        )
        return resolve(pod, container, sources, Surroundings(self._node, pod_address, services))

    async def _fetch(self, gvr: GVR, namespace: str, name: str) -> Obj | None:
        try:
            return await self._objects.get(gvr, namespace, name)
        except MissingObject:
            return None
        except (StatusError, ConnectionError, TimeoutError) as error:
            raise StartFailure(CONFIG_ERROR, f"failed to fetch {gvr.resource} {namespace}/{name}: {error}") from error


def references(container: Obj) -> set[tuple[GVR, str]]:
    """ConfigMaps and Secrets the environment of a container names."""
    found: set[tuple[GVR, str]] = set()
    for source in container.get("envFrom") or ():
        for key in ("configMapRef", "secretRef"):
            if source.get(key):
                found.add((_KINDS[key][0], source[key].get("name", "")))
    for variable in container.get("env") or ():
        for key in ("configMapKeyRef", "secretKeyRef"):
            if (variable.get("valueFrom") or {}).get(key):
                found.add((_KINDS[key][0], variable["valueFrom"][key].get("name", "")))
    return found


def resolve(
    pod: Obj, container: Obj, sources: Mapping[tuple[GVR, str], Obj | None], around: Surroundings
) -> dict[str, str]:
    """The variables of a container from `sources`, where None is an object that does not exist."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result.update(_from_source(pod, source, sources))
    declared: dict[str, str] = {}
    for variable in container.get("env") or ():
        name = variable["name"]
        value_from = variable.get("valueFrom")
        if value_from:
            value = _value_from(pod, container, value_from, sources, around)
            if value is None:
                continue
        else:
            value = expand(str(variable.get("value") or ""), {**result, **declared}, around.services)
        declared[name] = value
    result.update(declared)
    return {**around.services, **result}


def _from_source(pod: Obj, source: Obj, sources: Mapping[tuple[GVR, str], Obj | None]) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for key in ("configMapRef", "secretRef"):
        reference = source.get(key)
        if not reference:
            continue
        gvr, _ = _KINDS[key]
        found = sources.get((gvr, reference.get("name", "")))
        if found is None:
            if reference.get("optional"):
                return {}
            missing = MissingObject(gvr, pod_spec.namespace_of(pod), reference.get("name", ""))
            raise StartFailure(CONFIG_ERROR, str(missing))
        return {prefix + name: value for name, value in _texts(gvr, found).items() if _is_valid_name(prefix + name)}
    return {}


def _value_from(
    pod: Obj,
    container: Obj,
    value_from: Obj,
    sources: Mapping[tuple[GVR, str], Obj | None],
    around: Surroundings,
) -> str | None:
    """The value, or None for an optional one that is missing."""
    try:
        if "fieldRef" in value_from:
            return field_value(pod, value_from["fieldRef"]["fieldPath"], around.node, around.pod_address)
        if "resourceFieldRef" in value_from:
            return resource_value(pod, value_from["resourceFieldRef"], container, around.node)
    except ValueError as error:
        raise StartFailure(CONFIG_ERROR, str(error)) from error
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in value_from:
            return _key_value(pod, key, value_from[key], sources)
    raise StartFailure(CONFIG_ERROR, f"env valueFrom {', '.join(sorted(value_from))} is not supported")


def _key_value(pod: Obj, kind: str, reference: Obj, sources: Mapping[tuple[GVR, str], Obj | None]) -> str | None:
    gvr, noun = _KINDS[kind]
    name, key = reference.get("name", ""), reference["key"]
    found = sources.get((gvr, name))
    namespace = pod_spec.namespace_of(pod)
    if found is None:
        if reference.get("optional"):
            return None
        raise StartFailure(CONFIG_ERROR, str(MissingObject(gvr, namespace, name)))
    values = _texts(gvr, found)
    if key not in values:
        if reference.get("optional"):
            return None
        raise StartFailure(CONFIG_ERROR, f"couldn't find key {key} in {noun} {namespace}/{name}")
    return values[key]


def _texts(gvr: GVR, obj: Obj) -> dict[str, str]:
    data: dict[str, str] = obj.get("data") or {}
    if gvr == CONFIG_MAPS:
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _is_valid_name(name: str) -> bool:
    """Any printable ASCII but `=` (Kubernetes 1.34 and later)."""
    return bool(name) and all(" " <= char <= "~" and char != "=" for char in name)


def service_variables(services: Iterable[Obj], namespace: str, *, links: bool) -> dict[str, str]:
    """`CART_SERVICE_HOST` and Docker's link variables; of the Service `default/kubernetes` even without `links`."""
    chosen: dict[str, Obj] = {}
    for service in services:
        metadata = service["metadata"]
        own = links and metadata["namespace"] == namespace
        master = metadata["namespace"] == "default" and metadata["name"] == "kubernetes"
        has_address = service["spec"].get("clusterIP") not in (None, "", "None")
        if has_address and (own or (master and metadata["name"] not in chosen)):
            chosen[metadata["name"]] = service
    variables: dict[str, str] = {}
    for name, service in sorted(chosen.items()):
        ports = service["spec"].get("ports") or []
        if ports:
            variables.update(_one_service(name, service["spec"]["clusterIP"], ports))
    return variables


def _one_service(service: str, address: str, ports: list[Obj]) -> dict[str, str]:
    prefix = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol", "TCP")
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        url = f"{protocol.lower()}://{host}:{number}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{number}_{protocol}"
        variables[link] = url
        variables[f"{link}_PROTO"] = protocol.lower()
        variables[f"{link}_PORT"] = number
        variables[f"{link}_ADDR"] = address
    return variables
