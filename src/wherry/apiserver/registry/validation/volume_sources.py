"""Volume sources of drivers that pods and PersistentVolumes name alike: in-tree disks and network file systems, CSI secrets.

Nothing here mounts them; Kubernetes refuses what is wrong with them whoever would, so this does too. A rule gets one source
and its path and answers with causes. Sources that only pods or only PersistentVolumes have are where those are validated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

Rule: TypeAlias = Callable[[Obj, str], list[Cause]]

CSI_DRIVER_MAX = 63
ISCSI_NAMES_MAX = 64
ISCSI_TOO_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
    "if iscsi.initiatorName is specified."
)
_PARTITION = "must be an integer between 0 and 255 or empty"
_LUN = "must be between 0 and 255, inclusive"
_ISCSI = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_HOST_PORTS = "must be a host:port pair or multiple pairs separated by commas"
_TENANT_MAX = 64
_MANAGED = ("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",)
_BLOB = ("https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",)
_RESERVED_OPTIONS = "kubernetes.io and k8s.io namespaces are reserved"


def needs(*keys: str) -> Rule:
    """A source whose only rule is that these fields are said."""

    def rule(source: Obj, path: str) -> list[Cause]:
        return [f.required(f"{path}.{key}") for key in keys if not source.get(key)]

    return rule


def csi_driver_name(name: str, path: str) -> list[Cause]:
    """The name of a CSI driver, wherever one is said; also of drivers of dynamic resources."""
    if not name:
        return [f.required(path)]
    causes = [f.too_long(path, CSI_DRIVER_MAX)] if len(name) > CSI_DRIVER_MAX else []
    return causes + f.each_invalid(path, name, names.dns1123_subdomain(name.lower()))


def secret_reference(reference: Obj, path: str) -> list[Cause]:
    """Name and namespace of a Secret, as CSI volumes of the cluster say them."""
    causes: list[Cause] = []
    for key, rule in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
        value = reference.get(key) or ""
        causes += f.each_invalid(f"{path}.{key}", value, rule(value)) if value else [f.required(f"{path}.{key}")]
    return causes


def disk(key: str) -> Rule:
    """A cloud disk with partitions."""

    def rule(source: Obj, path: str) -> list[Cause]:
        causes = needs(key)(source, path)
        partition = source.get("partition") or 0
        return causes + ([] if 0 <= partition <= 255 else [f.invalid(f"{path}.partition", partition, _PARTITION)])

    return rule


def nfs(source: Obj, path: str) -> list[Cause]:
    causes = needs("server", "path")(source, path)
    if not (source.get("path") or "").startswith("/"):
        causes.append(f.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path"))
    return causes


def iscsi(source: Obj, path: str) -> list[Cause]:
    causes = needs("targetPortal")(source, path)
    name, initiator = source.get("iqn") or "", source.get("initiatorName")
    causes += _iscsi_name(name, f"{path}.iqn") if name else [f.required(f"{path}.iqn")]
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        causes.append(f.invalid(f"{path}.lun", lun, _LUN))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        causes.append(f.required(f"{path}.secretRef"))
    if initiator is not None:
        causes += _iscsi_name(initiator, f"{path}.initiatorname")
    return causes


def _iscsi_name(name: str, path: str) -> list[Cause]:
    pattern = _ISCSI.get(name[:3])
    if pattern is None:
        return [f.invalid(path, name, "must be valid format starting with iqn, eui, or naa")]
    return [] if pattern.search(name) else [f.invalid(path, name, "must be valid format")]


def fibre_channel(source: Obj, path: str) -> list[Cause]:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    causes: list[Cause] = []
    if not targets and not ids:
        causes.append(f.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        causes.append(f.invalid(f"{path}.targetWWNs", targets, detail))
    if targets and lun is None:
        causes.append(f.required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif targets and not 0 <= (lun or 0) <= 255:
        causes.append(f.invalid(f"{path}.lun", lun, _LUN))
    return causes


def quobyte(source: Obj, path: str) -> list[Cause]:
    registry = source.get("registry") or ""
    causes: list[Cause] = []
    if not registry:
        causes.append(f.required(f"{path}.registry", _HOST_PORTS))
    elif len(source.get("tenant") or "") > _TENANT_MAX:
        detail = f"must be a UUID and may not exceed a length of {_TENANT_MAX} characters"
        causes.append(f.required(f"{path}.tenant", detail))
    else:
        pairs = [pair for pair in registry.split(",") if pair.count(":") != 1 and not re.match(r"\[.*\]:", pair)]
        causes += [f.invalid(f"{path}.registry", registry, _HOST_PORTS) for _ in pairs]
    return causes + needs("volume")(source, path)


def flocker(source: Obj, path: str) -> list[Cause]:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    causes: list[Cause] = []
    if not name and not uid:
        causes.append(f.required(path, "one of datasetName and datasetUUID is required"))
    if name and uid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        causes.append(f.invalid(path, "resource", detail))
    if "/" in name:
        causes.append(f.invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return causes


def cinder(source: Obj, path: str) -> list[Cause]:
    return needs("volumeID")(source, path) + _secret_name(source, path)


def flex_volume(source: Obj, path: str) -> list[Cause]:
    causes = needs("driver")(source, path)
    for key in f.as_dict(source.get("options")):
        namespace = "." + key.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            causes.append(f.invalid(f"{path}.options[{key}]", key, _RESERVED_OPTIONS))
    return causes


def azure_file(source: Obj, path: str) -> list[Cause]:
    causes = needs("secretName", "shareName")(source, path)
    return causes + ([f.required(f"{path}.secretNamespace")] if source.get("secretNamespace") == "" else [])


def azure_disk(source: Obj, path: str) -> list[Cause]:
    causes = needs("diskName", "diskURI")(source, path)
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    causes += f.one_of(source.get("cachingMode"), f"{path}.cachingMode", ("None", "ReadOnly", "ReadWrite"))
    causes += f.one_of(kind, f"{path}.kind", ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        causes.append(f.not_supported(f"{path}.diskURI", uri, _MANAGED))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        causes.append(f.not_supported(f"{path}.diskURI", uri, _BLOB))
    return causes


def storage_os(source: Obj, path: str) -> list[Cause]:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    at = f"{path}.volumeName"
    causes = f.each_invalid(at, name, names.dns1123_label(name)) if name else [f.required(at)]
    if namespace:
        causes += f.each_invalid(f"{path}.volumeNamespace", namespace, names.dns1123_label(namespace))
    return causes + _secret_name(source, path)


def _secret_name(source: Obj, path: str) -> list[Cause]:
    reference = source.get("secretRef")
    return [f.required(f"{path}.secretRef.name")] if reference is not None and not reference.get("name") else []


SHARED: Mapping[str, tuple[str, Rule]] = {
    "gcePersistentDisk": ("persistentDisk", disk("pdName")),
    "awsElasticBlockStore": ("awsElasticBlockStore", disk("volumeID")),
    "nfs": ("nfs", nfs),
    "iscsi": ("iscsi", iscsi),
    "glusterfs": ("glusterfs", needs("endpoints", "path")),
    "flocker": ("flocker", flocker),
    "rbd": ("rbd", needs("monitors", "image")),
    "cinder": ("cinder", cinder),
    "cephfs": ("cephfs", needs("monitors")),
    "quobyte": ("quobyte", quobyte),
    "fc": ("fc", fibre_channel),
    "flexVolume": ("flexVolume", flex_volume),
    "azureFile": ("azureFile", azure_file),
    "vsphereVolume": ("vsphereVolume", needs("volumePath")),
    "photonPersistentDisk": ("photonPersistentDisk", needs("pdID")),
    "portworxVolume": ("portworxVolume", needs("volumeID")),
    "azureDisk": ("azureDisk", azure_disk),
    "storageos": ("storageos", storage_os),
    "scaleIO": ("scaleIO", needs("gateway", "system", "volumeName")),
}
"""Field of the source -> (what paths of causes call it, its rule). A disk of Google's is `persistentDisk` there."""
