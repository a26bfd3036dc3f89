"""Volumes of a pod and how its containers mount them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import env as env_rules
from wherry.apiserver.registry.validation import field as f

MODE = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_TEN_MINUTES, _MAX_TOKEN_SECONDS = 600, 1 << 32
_BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def volumes(listed: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, volume in enumerate(listed):
        name = volume.get("name") or ""
        at = f"{path}[{i}]"
        causes += _source(volume, at)
        if not name:
            causes.append(f.required(f"{at}.name"))
            continue
        causes += f.each_invalid(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            causes.append(f.duplicate(f"{at}.name", name))
        seen.add(name)
    return causes


def _source(volume: Obj, path: str) -> list[Cause]:
    """Exactly one source; kinds without rules of their own are taken as they are."""
    given = [kind for kind in (*_SOURCES, *_OTHERS) if volume.get(kind) is not None]
    if not given:
        return [f.required(path, "must specify a volume type")]
    rule = _SOURCES.get(given[0])
    causes = rule(volume[given[0]], f"{path}.{given[0]}") if rule else []
    return causes + [f.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in given[1:]]


def _empty_dir(source: Obj, path: str) -> list[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and Quantity.parse(limit) < Quantity.parse("0"):
        return [f.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Obj, path: str) -> list[Cause]:
    if not source.get("path"):
        return [f.required(f"{path}.path")]
    causes = no_backsteps(source["path"], f"{path}.path")
    kind = source.get("type") or ""
    return causes + ([] if kind in HOST_PATH_TYPES else [f.not_supported(f"{path}.type", kind, HOST_PATH_TYPES)])


def _keyed(name_key: str) -> Callable[[Obj, str], list[Cause]]:
    """ConfigMap and Secret volumes differ in how they call the object."""

    def rule(source: Obj, path: str) -> list[Cause]:
        causes = [] if source.get(name_key) else [f.required(f"{path}.{name_key}")]
        causes += _mode(source.get("defaultMode"), f"{path}.defaultMode")
        return causes + _items(f.as_list(source.get("items")), f"{path}.items")

    return rule


def _items(items: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, item in enumerate(items):
        at = f"{path}[{i}]"
        if not item.get("key"):
            causes.append(f.required(f"{at}.key"))
        if not item.get("path"):
            causes.append(f.required(f"{at}.path"))
        causes += descending(item.get("path") or "", f"{at}.path")
        causes += _mode(item.get("mode"), f"{at}.mode")
    return causes


def _mode(mode: int | None, path: str) -> list[Cause]:
    return [f.invalid(path, mode, MODE)] if mode is not None and not 0 <= mode <= 0o777 else []


def _downward(source: Obj, path: str) -> list[Cause]:
    causes = _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in f.as_list(source.get("items")):
        causes += _downward_file(item, path)
    return causes


def _downward_file(item: Obj, path: str) -> list[Cause]:
    causes = [] if item.get("path") else [f.required(f"{path}.path")]
    causes += descending(item.get("path") or "", f"{path}.path")
    causes += _mode(item.get("mode"), f"{path}.mode")
    if item.get("fieldRef") is not None:
        causes += env_rules.field_ref(item["fieldRef"], env_rules.FILE_FIELDS, f"{path}.fieldRef")
        if item.get("resourceFieldRef") is not None:
            causes.append(
                f.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            )
    elif item.get("resourceFieldRef") is not None:
        causes += env_rules.resource_field_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", in_volume=True)
    else:
        causes.append(f.required(path, "one of fieldRef and resourceFieldRef is required"))
    return causes


def _projected(source: Obj, path: str) -> list[Cause]:
    causes = _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for i, part in enumerate(f.as_list(source.get("sources"))):
        at = f"{path}.sources[{i}]"
        given = [kind for kind, value in part.items() if value is not None]
        for kind in given:
            value = part[kind]
            if kind in ("secret", "configMap"):
                causes += [] if value.get("name") else [f.required(f"{at}.{kind}.name")]
                causes += _items(f.as_list(value.get("items")), f"{at}.{kind}.items")
            elif kind == "downwardAPI":
                for item in f.as_list(value.get("items")):
                    causes += _downward_file(item, f"{at}.{kind}")
            elif kind == "serviceAccountToken":
                causes += _token(value, f"{at}.{kind}")
        causes += [f.forbidden(f"{at}.{kind}", "may not specify more than 1 volume type") for kind in given[1:]]
    return causes


def _token(source: Obj, path: str) -> list[Cause]:
    seconds = source.get("expirationSeconds") or 0
    causes: list[Cause] = []
    if seconds < _TEN_MINUTES:
        detail = "may not specify a duration less than 10 minutes"
        causes.append(f.invalid(f"{path}.expirationSeconds", seconds, detail))
    if seconds > _MAX_TOKEN_SECONDS:
        detail = "may not specify a duration larger than 2^32 seconds"
        causes.append(f.invalid(f"{path}.expirationSeconds", seconds, detail))
    if not source.get("path"):
        causes.append(f.required(f"{path}.path"))
    return causes + descending(source.get("path") or "", f"{path}.path")


def _claim(source: Obj, path: str) -> list[Cause]:
    return [] if source.get("claimName") else [f.required(f"{path}.claimName")]


def _nfs(source: Obj, path: str) -> list[Cause]:
    causes = [f.required(f"{path}.{key}") for key in ("server", "path") if not source.get(key)]
    if not (source.get("path") or "").startswith("/"):
        causes.append(f.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path"))
    return causes


def _csi(source: Obj, path: str) -> list[Cause]:
    return [] if source.get("driver") else [f.required(f"{path}.driver")]


def _ephemeral(source: Obj, path: str) -> list[Cause]:
    return [] if source.get("volumeClaimTemplate") is not None else [f.required(f"{path}.volumeClaimTemplate")]


_SOURCES: Mapping[str, Callable[[Obj, str], list[Cause]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _keyed("secretName"),
    "nfs": _nfs,
    "persistentVolumeClaim": _claim,
    "downwardAPI": _downward,
    "configMap": _keyed("name"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "projected": _projected,
}
_OTHERS = (
    *(
        "gitRepo",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "iscsi",
        "glusterfs",
        "rbd",
        "cinder",
        "cephfs",
        "flocker",
    ),
    *("fc", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk", "portworxVolume", "quobyte", "scaleIO"),
    *("storageos", "image"),
)


def no_backsteps(value: str, path: str) -> list[Cause]:
    return [f.invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def descending(value: str, path: str) -> list[Cause]:
    """A relative path that never leaves its root."""
    if value.startswith("/"):
        return [f.invalid(path, value, "must be a relative path")]
    return no_backsteps(value, path)


def mounts(container: Obj, sources: Mapping[str, Obj], path: str) -> list[Cause]:
    """volumeMounts and volumeDevices of one container; `sources` are the pod's volumes by name."""
    causes: list[Cause] = []
    devices = {device.get("devicePath") for device in f.as_list(container.get("volumeDevices"))}
    seen: set[str] = set()
    for i, mount in enumerate(f.as_list(container.get("volumeMounts"))):
        at = f"{path}.volumeMounts[{i}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        elif name not in sources:
            causes.append(f.not_found(f"{at}.name", name))
        if not target:
            causes.append(f.required(f"{at}.mountPath"))
        if target in seen:
            causes.append(f.invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        if target in devices:
            causes.append(f.invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices"))
        causes += _sub_path(mount, at, f"{path}.volumeMounts")
        causes += _propagation(mount.get("mountPropagation"), container, f"{path}.volumeMounts.mountPropagation")
    return causes + _devices(container, sources, path)


def _sub_path(mount: Obj, at: str, shared: str) -> list[Cause]:
    """Kubernetes names the list, not the entry, when a sub-path leaves its volume."""
    plain, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    causes = descending(plain, f"{shared}.subPath")
    if expression:
        if plain:
            detail = "subPathExpr and subPath are mutually exclusive"
            causes.append(f.invalid(f"{at}.subPathExpr", expression, detail))
        causes += descending(expression, f"{shared}.subPathExpr")
    return causes


def _propagation(value: str | None, container: Obj, path: str) -> list[Cause]:
    modes = ("Bidirectional", "HostToContainer", "None")
    if value is None:
        return []
    if value not in modes:
        return [f.not_supported(path, value, modes)]
    if value == "Bidirectional" and not f.as_dict(container.get("securityContext")).get("privileged"):
        return [f.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")]
    return []


def _devices(container: Obj, sources: Mapping[str, Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, device in enumerate(f.as_list(container.get("volumeDevices"))):
        at = f"{path}.volumeDevices[{i}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        elif name not in sources:
            causes.append(f.not_found(f"{at}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & sources[name].keys():
            causes.append(f.invalid(f"{at}.name", name, _BLOCK))
        if not target:
            causes.append(f.required(f"{at}.devicePath"))
        causes += no_backsteps(target, f"{at}.devicePath")
    return causes
