"""How the containers of a pod mount its volumes, as files or as devices."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.volume_files import descending, no_backsteps

_BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def mounts(container: Obj, sources: Mapping[str, Obj], path: str) -> list[Cause]:
    """volumeMounts and volumeDevices of one container; `sources` are the pod's valid volumes by name."""
    devices = f.as_list(container.get("volumeDevices"))
    device_paths = {device.get("devicePath") for device in devices}
    device_names = {device.get("name") for device in devices}
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, mount in enumerate(f.as_list(container.get("volumeMounts"))):
        at = f"{path}.volumeMounts[{i}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        if name not in sources:
            causes.append(f.not_found(f"{at}.name", name))
        if not target:
            causes.append(f.required(f"{at}.mountPath"))
        if target in seen:
            causes.append(f.invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in device_names:
            causes.append(f.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if target in device_paths:
            causes.append(f.invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices"))
        causes += _sub_path(mount, at, f"{path}.volumeMounts")
        causes += _propagation(mount.get("mountPropagation"), container, f"{path}.volumeMounts.mountPropagation")
        causes += _recursive(mount, f"{path}.volumeMounts.recursiveReadOnly")
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
    if value is None:
        return []
    if value not in _PROPAGATIONS:
        return [f.not_supported(path, value, _PROPAGATIONS)]
    if value == "Bidirectional" and not f.as_dict(container.get("securityContext")).get("privileged"):
        return [f.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")]
    return []


def _recursive(mount: Obj, path: str) -> list[Cause]:
    mode = mount.get("recursiveReadOnly")
    if mode is None or mode == "Disabled":
        return []
    if mode not in _RECURSIVE:
        return [f.not_supported(path, mode, _RECURSIVE)]
    causes: list[Cause] = []
    if not mount.get("readOnly"):
        causes.append(f.forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        causes.append(f.forbidden(path, "may only be specified when mountPropagation is None or not specified"))
    return causes


def _devices(container: Obj, sources: Mapping[str, Obj], path: str) -> list[Cause]:
    mounted = f.as_list(container.get("volumeMounts"))
    mount_names, mount_paths = ({mount.get(key) for mount in mounted} for key in ("name", "mountPath"))
    causes: list[Cause] = []
    names: set[str] = set()
    paths: set[str] = set()
    for i, device in enumerate(f.as_list(container.get("volumeDevices"))):
        at = f"{path}.volumeDevices[{i}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        if name not in sources:
            causes.append(f.not_found(f"{at}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & sources[name].keys():
            causes.append(f.invalid(f"{at}.name", name, _BLOCK))
        if not target:
            causes.append(f.required(f"{at}.devicePath"))
        if target in paths:
            causes.append(f.invalid(f"{at}.devicePath", target, "must be unique"))
        if name in names:
            causes.append(f.invalid(f"{at}.name", name, "must be unique"))
        if no_backsteps(target, ""):
            causes.append(f.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            paths.add(target)
        names.add(name)
        if name in mount_names:
            causes.append(f.invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if target in mount_paths:
            causes.append(f.invalid(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts"))
    return causes
