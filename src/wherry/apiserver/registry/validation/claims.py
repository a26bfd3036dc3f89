"""The spec of a claim, in a PersistentVolumeClaim, in the template of an ephemeral volume or of a StatefulSet."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry import object_meta
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RESIZE_STATES = (
    *("ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress"),
    *("NodeResizeInfeasible", "NodeResizePending"),
)
_CLAIM_ONLY = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"


def spec(value: Obj, path: str) -> list[Cause]:
    modes = f.as_list(value.get("accessModes"))
    causes: list[Cause] = []
    if not modes:
        causes.append(f.required(f"{path}.accessModes", "at least 1 access mode is required"))
    causes += selectors.label_selector(value.get("selector"), f"{path}.selector")
    causes += access_modes(modes, f"{path}.accessModes")
    requests = f.as_dict(f.as_dict(value.get("resources")).get("requests"))
    if "storage" not in requests:
        causes.append(f.required(f"{path}.resources[storage]"))
    elif Quantity.parse(requests["storage"]) <= Quantity.parse("0"):
        causes.append(f.invalid(f"{path}.resources[storage]", str(requests["storage"]), "must be greater than zero"))
    for key in ("storageClassName", "volumeAttributesClassName"):
        chosen = value.get(key)
        if chosen:
            causes += f.each_invalid(f"{path}.{key}", chosen, names.dns1123_subdomain(chosen))
    causes += f.one_of(value.get("volumeMode"), f"{path}.volumeMode", ("Block", "Filesystem"))
    return causes + _sources(value.get("dataSource"), value.get("dataSourceRef"), path)


def _sources(source: Obj | None, reference: Obj | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if source is not None:
        causes += _source(source, f"{path}.dataSource")
    if reference is not None:
        causes += _source(reference, f"{path}.dataSourceRef")
        namespace = reference.get("namespace") or ""
        if namespace:
            at = f"{path}.dataSourceRef.namespace"
            causes += f.each_invalid(at, namespace, names.dns1123_label(namespace))
            if source is not None:
                causes.append(f.invalid(path, {}, "may not be specified when dataSourceRef.namespace is specified"))
        elif source is not None and any(
            (source.get(key) or "") != (reference.get(key) or "") for key in ("apiGroup", "kind", "name")
        ):
            causes.append(f.invalid(path, {}, "must match dataSourceRef"))
    return causes


def _source(source: Obj, path: str) -> list[Cause]:
    """What a claim is filled from: a claim, or an object of another group."""
    causes = [f.required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        causes.append(f.invalid(path, source.get("kind") or "", _CLAIM_ONLY))
    return causes + (f.each_invalid(f"{path}.apiGroup", group, names.dns1123_subdomain(group)) if group else [])


def access_modes(modes: list[str], path: str) -> list[Cause]:
    causes = [f.not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES for mode in modes if mode != "ReadWriteOncePod"):
        causes.append(f.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return causes


def template(value: Obj, path: str) -> list[Cause]:
    """A PersistentVolumeClaimTemplate: of its metadata only labels and annotations may be said."""
    metadata = f.as_dict(value.get("metadata"))
    return template_metadata(metadata, f"{path}.metadata") + spec(f.as_dict(value.get("spec")), f"{path}.spec")


def template_metadata(metadata: Obj, path: str) -> list[Cause]:
    """Metadata of objects that are made later under another name."""
    causes = object_meta.validate_annotations(f.as_dict(metadata.get("annotations")), f"{path}.annotations")
    causes += f.labels(metadata.get("labels"), f"{path}.labels")
    others = [key for key, said in metadata.items() if key not in ("annotations", "labels") and said]
    return causes + [f.forbidden(f"{path}.{key}", "cannot be set") for key in others]


def status_amounts(status: Obj) -> list[Cause]:
    """What a claim has and is being given."""
    causes = [
        cause
        for name, amount in f.as_dict(status.get("capacity")).items()
        for cause in _amount(amount, f"status.capacity[{name}]")
    ]
    path = "status.allocatedResourceStatus"
    for name, state in f.as_dict(status.get("allocatedResourceStatuses")).items():
        causes += _resource_key(name, path)
        if state not in RESIZE_STATES:
            causes.append(f.not_supported(path, name, RESIZE_STATES))
    path = "status.allocatedResources"
    for name, amount in f.as_dict(status.get("allocatedResources")).items():
        causes += _resource_key(name, path) or _amount(amount, f"{path}[{name}]")
    return causes


def _amount(amount: str, path: str) -> list[Cause]:
    value = Quantity.parse(amount)
    if value >= Quantity.parse("0"):
        return []
    return [f.invalid(path, -(-value.milli_value() // 1000), "must be a valid resource quantity")]


def _resource_key(name: str, path: str) -> list[Cause]:
    """Of Kubernetes' own resources a claim is only given storage."""
    causes = f.qualified(name, path)
    if not causes and ("/" not in name or "kubernetes.io/" in name) and name != "storage":
        causes.append(f.not_supported(path, name, ("storage",)))
    return causes
