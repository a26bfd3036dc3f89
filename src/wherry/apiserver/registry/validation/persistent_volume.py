"""The spec of a PersistentVolume: of the object itself, or inline in a VolumeAttachment, where only CSI can be meant."""

from __future__ import annotations

import posixpath

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors, volume_sources
from wherry.apiserver.registry.validation.claims import access_modes
from wherry.apiserver.registry.validation.volume_files import no_backsteps
from wherry.apiserver.registry.validation.volumes import host_path

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_INLINE = "may not be specified in the context of inline volumes"
_CSI_SECRETS = (
    *("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"),
)


def spec(value: Obj, path: str, name: str) -> list[Cause]:
    """`name` is the volume's, which some sources make part of another name."""
    causes = _modes(value, path) + _capacity(f.as_dict(value.get("capacity")), f"{path}.capacity")
    reclaim = value.get("persistentVolumeReclaimPolicy")
    causes += f.one_of(reclaim, f"{path}.persistentVolumeReclaimPolicy", RECLAIM_POLICIES)
    if value.get("nodeAffinity") is not None:
        causes += _affinity(value["nodeAffinity"], f"{path}.nodeAffinity")
    causes += _source(value, path, name)
    root = value.get("hostPath") is not None and posixpath.normpath(value["hostPath"].get("path") or "") == "/"
    if root and reclaim == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        causes.append(f.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    chosen = value.get("storageClassName")
    if chosen:
        causes += f.each_invalid(f"{path}.storageClassName", chosen, names.dns1123_subdomain(chosen))
    causes += f.one_of(value.get("volumeMode"), f"{path}.volumeMode", ("Block", "Filesystem"))
    return causes + _attributes_class(value, path)


def inline(value: Obj, path: str) -> list[Cause]:
    """A spec that stands for a volume without an object: nothing in it speaks of claims or of the cluster."""
    causes = [f.forbidden(f"{path}.{key}", _INLINE) for key in ("claimRef", "capacity") if value.get(key)]
    if value.get("csi") is None:
        causes.append(f.required(f"{path}.csi", "has to be specified in the context of inline volumes"))
    causes += _modes(value, path)
    if value.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        at = f"{path}.persistentVolumeReclaimPolicy"
        causes.append(f.forbidden(at, "may only be Retain in the context of inline volumes"))
    if value.get("nodeAffinity") is not None:
        causes.append(f.forbidden(f"{path}.nodeAffinity", _INLINE))
    causes += _source(value, path, "")
    if value.get("storageClassName"):
        causes.append(f.forbidden(f"{path}.storageClassName", _INLINE))
    if value.get("volumeMode") not in (None, "Filesystem"):
        detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        causes.append(f.forbidden(f"{path}.volumeMode", detail))
    if value.get("volumeAttributesClassName") is not None:
        causes.append(f.forbidden(f"{path}.volumeAttributesClassName", _INLINE))
    return causes


def _modes(value: Obj, path: str) -> list[Cause]:
    modes = f.as_list(value.get("accessModes"))
    causes = [] if modes else [f.required(f"{path}.accessModes")]
    return causes + access_modes(modes, f"{path}.accessModes")


def _capacity(capacity: Obj, path: str) -> list[Cause]:
    causes = [] if capacity else [f.required(path)]
    if "storage" not in capacity or len(capacity) > 1:
        causes.append(f.not_supported(path, capacity or None, ("storage",)))
    for name, amount in capacity.items():
        parsed, at = Quantity.parse(amount), f"{path}[{name}]"
        if parsed < Quantity.parse("0"):
            causes.append(f.invalid(at, str(parsed), "must be a valid resource quantity"))
        if parsed <= Quantity.parse("0"):
            causes.append(f.invalid(at, str(amount), "must be greater than zero"))
    return causes


def _affinity(affinity: Obj, path: str) -> list[Cause]:
    if affinity.get("required") is None:
        return [f.required(f"{path}.required", "must specify required node constraints")]
    return selectors.node_selector(affinity["required"], f"{path}.required")


def _attributes_class(value: Obj, path: str) -> list[Cause]:
    name, at = value.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName"
    if name is None:
        return []
    causes = f.each_invalid(at, name, names.dns1123_subdomain(name)) if name else [
        f.required(at, "an empty string is disallowed")
    ]  # fmt: skip
    if value.get("csi") is None:
        causes.append(f.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName"))
    return causes


def _source(value: Obj, path: str, name: str) -> list[Cause]:
    """Exactly one."""
    given = [kind for kind in _SOURCES if value.get(kind) is not None]
    if not given:
        return [f.required(path, "must specify a volume type")]
    source = value[given[0]]
    word, rule = _SOURCES[given[0]]
    causes = rule(source, f"{path}.{word}")
    if given[0] == "iscsi":
        causes += _initiator(source, name, f"{path}.{word}")
    if given[0] == "local" and f.as_dict(value.get("nodeAffinity")).get("required") is None:
        causes.append(f.required("spec.nodeAffinity", "Local volume requires node affinity"))
    return causes + [f.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in given[1:]]


def _initiator(source: Obj, name: str, path: str) -> list[Cause]:
    portal = source.get("targetPortal") or ""
    if source.get("initiatorName") is None or len(f"{name}:{portal}") <= volume_sources.ISCSI_NAMES_MAX:
        return []
    return [f.invalid(f"{path}.targetportal", portal, volume_sources.ISCSI_TOO_LONG)]


def _local(source: Obj, path: str) -> list[Cause]:
    return no_backsteps(source["path"], f"{path}.path") if source.get("path") else [f.required(f"{path}.path")]


def _csi(source: Obj, path: str) -> list[Cause]:
    causes = volume_sources.csi_driver_name(source.get("driver") or "", f"{path}.driver")
    causes += volume_sources.needs("volumeHandle")(source, path)
    for key in _CSI_SECRETS:
        if source.get(key) is not None:
            causes += volume_sources.secret_reference(source[key], f"{path}.{key}")
    return causes


def _with_namespace(rule: volume_sources.Rule) -> volume_sources.Rule:
    """A cluster's volume says in which namespace its Secret is."""

    def judged(source: Obj, path: str) -> list[Cause]:
        reference = source.get("secretRef")
        missing = reference is not None and not reference.get("namespace")
        return rule(source, path) + ([f.required(f"{path}.secretRef.namespace")] if missing else [])

    return judged


def _glusterfs(source: Obj, path: str) -> list[Cause]:
    causes = volume_sources.needs("endpoints", "path")(source, path)
    namespace, at = source.get("endpointsNamespace"), f"{path}.endpointsNamespace"
    if namespace == "":
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        causes.append(f.invalid(at, namespace, detail))
    elif namespace is not None:
        causes += f.each_invalid(at, namespace, names.dns1123_label(namespace))
    return causes


_SOURCES = {
    "hostPath": ("hostPath", host_path),
    **volume_sources.SHARED,
    "glusterfs": ("glusterfs", _glusterfs),
    "cinder": ("cinder", _with_namespace(volume_sources.cinder)),
    "storageos": ("storageos", _with_namespace(volume_sources.storage_os)),
    "local": ("local", _local),
    "csi": ("csi", _csi),
}
SOURCES = tuple(_SOURCES)
"""Fields of the spec that say where the volume is."""
