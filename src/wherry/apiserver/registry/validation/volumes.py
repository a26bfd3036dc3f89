"""The volumes of a pod: one source each, and what each source asks for. How containers mount them: `mounts.py`."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import claims, volume_files, volume_sources
from wherry.apiserver.registry.validation import field as f

HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")


def volumes(listed: list[Obj], path: str, pod_name: str = "") -> tuple[Mapping[str, Obj], list[Cause]]:
    """(valid volumes by name, which are those that mounts find; causes). `pod_name`: the claim of an ephemeral volume is
    named after the pod; "" where there is none yet, as in templates."""
    causes: list[Cause] = []
    valid: dict[str, Obj] = {}
    made = {f"{pod_name}-{each.get('name')}" for each in listed if pod_name and each.get("ephemeral") is not None}
    for i, volume in enumerate(listed):
        name = volume.get("name") or ""
        at = f"{path}[{i}]"
        found = _source(volume, at) + _other_names(volume, pod_name, at)
        found += f.each_invalid(f"{at}.name", name, names.dns1123_label(name)) if name else [f.required(f"{at}.name")]
        if name in valid:
            found.append(f.duplicate(f"{at}.name", name))
        if not found:
            valid[name] = volume
        causes += found
        claimed = f.as_dict(volume.get("persistentVolumeClaim")).get("claimName")
        if claimed in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            causes.append(f.invalid(f"{at}.persistentVolumeClaim.claimName", claimed, detail))
    return valid, causes


def _other_names(volume: Obj, pod_name: str, path: str) -> list[Cause]:
    """Names made with the volume's: of the claim of an ephemeral volume, of an iSCSI interface."""
    name, iscsi = volume.get("name") or "", volume.get("iscsi")
    causes: list[Cause] = []
    if iscsi is not None and iscsi.get("initiatorName") is not None:
        long = len(f"{name}:{iscsi.get('targetPortal') or ''}") > volume_sources.ISCSI_NAMES_MAX
        causes += [f.invalid(f"{path}.name", name, volume_sources.ISCSI_TOO_LONG)] if long else []
    if volume.get("ephemeral") is not None and pod_name and name:
        claim = f"{pod_name}-{name}"
        problems = [f"PVC name {f.quote(claim)}: {problem}" for problem in names.dns1123_subdomain(claim)]
        causes += f.each_invalid(f"{path}.name", name, problems)
    return causes


def _source(volume: Obj, path: str) -> list[Cause]:
    """Exactly one source."""
    given = [kind for kind in _SOURCES if volume.get(kind) is not None]
    if not given:
        return [f.required(path, "must specify a volume type")]
    word, rule = _SOURCES[given[0]]
    causes = rule(volume[given[0]], f"{path}.{word}")
    causes += [f.forbidden(f"{path}.{_SAID.get(k, k)}", "may not specify more than 1 volume type") for k in given[1:]]
    return causes


def _empty_dir(source: Obj, path: str) -> list[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and Quantity.parse(limit) < Quantity.parse("0"):
        return [f.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def host_path(source: Obj, path: str) -> list[Cause]:
    if not source.get("path"):
        return [f.required(f"{path}.path")]
    causes = volume_files.no_backsteps(source["path"], f"{path}.path")
    kind = source.get("type") or ""
    return causes + ([] if kind in HOST_PATH_TYPES else [f.not_supported(f"{path}.type", kind, HOST_PATH_TYPES)])


def _git_repo(source: Obj, path: str) -> list[Cause]:
    causes = volume_sources.needs("repository")(source, path)
    return causes + volume_files.descending(source.get("directory") or "", f"{path}.directory")


def _csi(source: Obj, path: str) -> list[Cause]:
    causes = volume_sources.csi_driver_name(source.get("driver") or "", f"{path}.driver")
    reference = source.get("nodePublishSecretRef")
    if reference is None:
        return causes
    name = reference.get("name") or ""
    if not name:
        return [*causes, f.required(f"{path}.nodePublishSecretRef.name")]
    return causes + f.each_invalid(f"{path}.name", name, names.dns1123_subdomain(name))


def _ephemeral(source: Obj, path: str) -> list[Cause]:
    at, template = f"{path}.volumeClaimTemplate", source.get("volumeClaimTemplate")
    return [f.required(at)] if template is None else claims.template(template, at)


def _image(source: Obj, path: str) -> list[Cause]:
    causes = [] if source.get("reference") else [f.required(f"{path}.reference")]
    return causes + f.one_of(source.get("pullPolicy"), f"{path}.pullPolicy", ("Always", "IfNotPresent", "Never"))


_SAID = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""What a refused second source is called where that is not its name."""
_SOURCES: Mapping[str, tuple[str, volume_sources.Rule]] = {
    "emptyDir": ("emptyDir", _empty_dir),
    "hostPath": ("hostPath", host_path),
    "gitRepo": ("gitRepo", _git_repo),
    "secret": ("secret", volume_files.keyed("secretName")),
    "persistentVolumeClaim": ("persistentVolumeClaim", volume_sources.needs("claimName")),
    "downwardAPI": ("downwardAPI", volume_files.downward),
    "configMap": ("configMap", volume_files.keyed("name")),
    "projected": ("projected", volume_files.projected),
    "csi": ("csi", _csi),
    "ephemeral": ("ephemeral", _ephemeral),
    "image": ("image", _image),
    **volume_sources.SHARED,
}
"""Field of the source -> (what paths of causes call it, its rule)."""
