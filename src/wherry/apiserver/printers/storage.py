"""Rows of volumes, claims, classes, and of devices that pods claim."""

from __future__ import annotations

from typing import Any, Final

from wherry.api.types import Obj
from wherry.apiserver.printers.core import CREATED, NAMED
from wherry.apiserver.printers.form import NONE, UNSET, Printer, age, columns, name, or_unset, spec, status

DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _phase(obj: Obj) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else status(obj).get("phase", "")


def claim(obj: Obj, now: float) -> list[Any]:
    bound = bool(spec(obj).get("volumeName"))
    return [
        name(obj),
        _phase(obj),
        spec(obj).get("volumeName", ""),
        (status(obj).get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status(obj).get("accessModes")) if bound else "",
        spec(obj).get("storageClassName") or "",
        or_unset(spec(obj).get("volumeAttributesClassName")),
        age(obj, now),
        or_unset(spec(obj).get("volumeMode")),
    ]


def volume(obj: Obj, now: float) -> list[Any]:
    reference = spec(obj).get("claimRef")
    return [
        name(obj),
        (spec(obj).get("capacity") or {}).get("storage", "0"),
        _modes(spec(obj).get("accessModes")),
        spec(obj).get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else "",
        spec(obj).get("storageClassName", ""),
        or_unset(spec(obj).get("volumeAttributesClassName")),
        status(obj).get("reason", ""),
        age(obj, now),
        or_unset(spec(obj).get("volumeMode")),
    ]


def storage_class(obj: Obj, now: float) -> list[Any]:
    is_default = (obj["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
    return [
        f"{name(obj)} (default)" if is_default else name(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def driver(obj: Obj, now: float) -> list[Any]:
    tokens = spec(obj).get("tokenRequests")
    return [
        name(obj),
        spec(obj).get("attachRequired", True),
        spec(obj).get("podInfoOnMount", False),
        spec(obj).get("storageCapacity", False),
        ",".join(token.get("audience", "") for token in tokens) if tokens else UNSET,
        spec(obj).get("requiresRepublish", False),
        ",".join(spec(obj).get("volumeLifecycleModes") or []) or NONE,
        age(obj, now),
    ]


def csi_node(obj: Obj, now: float) -> list[Any]:
    return [name(obj), len(spec(obj).get("drivers") or []), age(obj, now)]


def attachment(obj: Obj, now: float) -> list[Any]:
    volume_name = (spec(obj).get("source") or {}).get("persistentVolumeName", "")
    return [
        name(obj),
        spec(obj).get("attacher", ""),
        volume_name,
        spec(obj).get("nodeName", ""),
        bool(status(obj).get("attached")),
        age(obj, now),
    ]


def attributes_class(obj: Obj, now: float) -> list[Any]:
    return [name(obj), obj.get("driverName", ""), age(obj, now)]


def resource_claim(obj: Obj, now: float) -> list[Any]:
    states = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status(obj).get("allocation") is None:
        states += [] if states else ["pending"]
    else:
        states.append("allocated")
        if status(obj).get("reservedFor"):
            states.append("reserved")
    return [name(obj), ",".join(states), age(obj, now)]


def resource_slice(obj: Obj, now: float) -> list[Any]:
    pool = spec(obj).get("pool") or {}
    return [name(obj), spec(obj).get("nodeName", ""), spec(obj).get("driver", ""), pool.get("name", ""), age(obj, now)]


PRINTERS = {
    "/persistentvolumeclaims": Printer(
        columns("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|+VolumeMode"), claim
    ),
    "/persistentvolumes": Printer(
        columns(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|+VolumeMode"
        ),
        volume,
    ),
    "storage.k8s.io/storageclasses": Printer(
        columns("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"), storage_class
    ),
    "storage.k8s.io/csidrivers": Printer(
        columns("Name|AttachRequired:b|PodInfoOnMount:b|StorageCapacity:b|TokenRequests|RequiresRepublish:b|Modes|Age"),
        driver,
    ),
    "storage.k8s.io/csinodes": Printer(columns("Name|Drivers:i|Age"), csi_node),
    "storage.k8s.io/csistoragecapacities": CREATED,
    "storage.k8s.io/volumeattachments": Printer(columns("Name|Attacher:n|PV|Node|Attached:b|Age"), attachment),
    "storage.k8s.io/volumeattributesclasses": Printer(columns("Name|DriverName|Age"), attributes_class),
    "resource.k8s.io/deviceclasses": NAMED,
    "resource.k8s.io/resourceclaims": Printer(columns("Name|State|Age"), resource_claim),
    "resource.k8s.io/resourceclaimtemplates": NAMED,
    "resource.k8s.io/resourceslices": Printer(columns("Name|Node|Driver|Pool|Age"), resource_slice),
}
