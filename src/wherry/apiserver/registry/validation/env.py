"""Environment variables of a container and the references they and downward API files share."""

from __future__ import annotations

import re

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
FILE_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_CONVERTIBLE = {
    *ENV_FIELDS,
    *FILE_FIELDS,
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
}
RESOURCE_FIELDS = tuple(
    f"{side}.{name}" for side in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1", "cpu"),
    "memory": (_SIZES, ", ".join(_SIZES), "memory"),
    "ephemeral-storage": (_SIZES, ", ".join(_SIZES), "local ephemeral storage"),
    "hugepages": (_SIZES, ", ".join(_SIZES), "hugepages"),
}
_SUBSCRIPT = re.compile(r"(metadata\.annotations|metadata\.labels)\['(.*)'\]\Z", re.DOTALL)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NEED_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_ONE_SOURCE = "may not have more than one field specified at a time"


def env(variables: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, variable in enumerate(variables):
        at = f"{path}[{i}]"
        name = variable.get("name") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        else:
            causes += f.each_invalid(f"{at}.name", name, names.env_var_name(name))
        if variable.get("valueFrom") is not None:
            causes += _value_from(variable, f"{at}.valueFrom")
    return causes


def _value_from(variable: Obj, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    given = [kind for kind in _SOURCES if source.get(kind) is not None]
    causes: list[Cause] = []
    if "fieldRef" in given:
        causes += field_ref(source["fieldRef"], ENV_FIELDS, f"{path}.fieldRef")
    if "resourceFieldRef" in given:
        causes += resource_field_ref(source["resourceFieldRef"], f"{path}.resourceFieldRef", in_volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in given:
            causes += _key_ref(source[kind], f"{path}.{kind}")
    if "fileKeyRef" in given:
        reference = source["fileKeyRef"]
        causes += [
            f.required(f"{path}.fileKeyRef.{key}") for key in ("volumeName", "path", "key") if not reference.get(key)
        ]
    if not given:
        causes.append(f.invalid(path, "", _NEED_SOURCE))
    elif variable.get("value"):
        causes.append(f.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        causes.append(f.invalid(path, "", _ONE_SOURCE))
    return causes


def _key_ref(reference: Obj, path: str) -> list[Cause]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    causes = f.each_invalid(f"{path}.name", name, names.dns1123_subdomain(name))
    if not key:
        return [*causes, f.required(f"{path}.key")]
    return causes + f.each_invalid(f"{path}.key", key, names.config_map_key(key))


def env_from(sources: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, source in enumerate(sources):
        prefix = source.get("prefix") or ""
        if prefix:
            causes += f.each_invalid(f"{path}[{i}].prefix", prefix, names.env_var_name(prefix))
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            name, at = source[kind].get("name") or "", f"{path}[{i}].{kind}.name"
            # Judged as if more of it followed, as Kubernetes does.
            problems = names.dns1123_subdomain(name.removesuffix("-"))
            causes += f.each_invalid(at, name, problems) if name else [f.required(at)]
        if not given:
            causes.append(f.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            causes.append(f.invalid(path, "", _ONE_SOURCE))
    return causes


def field_ref(reference: Obj, supported: tuple[str, ...], path: str) -> list[Cause]:
    """An ObjectFieldSelector; with a subscript only labels and annotations."""
    if not reference.get("apiVersion"):
        return [f.required(f"{path}.apiVersion")]
    field_path = reference.get("fieldPath") or ""
    if not field_path:
        return [f.required(f"{path}.fieldPath")]
    subscripted = _SUBSCRIPT.match(field_path)
    if subscripted:
        key = subscripted[2]
        lowered = key.lower() if subscripted[1] == "metadata.annotations" else key
        return f.each_invalid(path, key, names.qualified_name(lowered))
    if field_path not in _CONVERTIBLE:
        return [
            f.invalid(
                f"{path}.fieldPath",
                field_path,
                f"error converting fieldPath: field label not supported: {field_path}",
            )
        ]
    return [] if field_path in supported else [f.not_supported(f"{path}.fieldPath", field_path, supported)]


def resource_field_ref(reference: Obj, path: str, in_volume: bool) -> list[Cause]:
    """A ResourceFieldSelector; files must name the container, variables speak of their own."""
    resource = reference.get("resource") or ""
    pages = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    causes: list[Cause] = []
    if in_volume and not reference.get("containerName"):
        causes.append(f.required(f"{path}.containerName"))
    elif not resource:
        causes.append(f.required(f"{path}.resource"))
    elif resource not in RESOURCE_FIELDS and not pages:
        causes.append(f.not_supported(f"{path}.resource", resource, RESOURCE_FIELDS))
    divisor = str(Quantity.parse(reference.get("divisor") or "0"))
    known = _DIVISORS.get("hugepages" if pages else resource.partition(".")[2])
    if divisor == "0" or known is None or divisor in known[0]:
        return causes
    detail = f"only divisor's values {known[1]} are supported with the {known[2]} resource"
    return [*causes, f.invalid(f"{path}.divisor", resource, detail)]
