"""PersistentVolumes: one source, for life."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.pod import difference
from wherry.apiserver.registry.pod_defaults import canonical_list, default_volume
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.validation.claims import access_modes
from wherry.apiserver.registry.validation.volume_files import no_backsteps
from wherry.apiserver.registry.validation.volumes import HOST_PATH_TYPES

SOURCES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker"),
    *("gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume"),
    *("quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"),
)
_IMMUTABLE = "spec.persistentvolumesource is immutable after creation"


class PersistentVolumeStrategy(BuiltIn):
    has_generation = False
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if spec.get("capacity"):
            spec["capacity"] = canonical_list(spec["capacity"])
        for kind in SOURCES:
            if spec.get(kind) is not None:
                default_volume({"name": "", kind: spec[kind]})

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        modes = f.as_list(spec.get("accessModes"))
        causes = [] if modes else [f.required("spec.accessModes")]
        causes += access_modes(modes, "spec.accessModes")
        causes += _capacity(f.as_dict(spec.get("capacity")))
        reclaim = spec.get("persistentVolumeReclaimPolicy")
        causes += f.one_of(reclaim, "spec.persistentVolumeReclaimPolicy", ("Delete", "Recycle", "Retain"))
        causes += _source(spec)
        affinity = f.as_dict(spec.get("nodeAffinity")).get("required")
        if affinity is not None:
            causes += selectors.node_selector(affinity, "spec.nodeAffinity.required")
        if spec.get("storageClassName"):
            name = spec["storageClassName"]
            causes += f.each_invalid("spec.storageClassName", name, names.dns1123_subdomain(name))
        return causes + f.one_of(spec.get("volumeMode"), "spec.volumeMode", ("Block", "Filesystem"))

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        sources = [{kind: spec[kind] for kind in SOURCES if kind in spec} for spec in (stored, new)]
        causes: list[Cause] = []
        if sources[0] != sources[1]:
            causes.append(f.forbidden("spec.persistentvolumesource", f"{_IMMUTABLE}\n{difference(*sources)}"))
        causes += f.unchanged(new.get("volumeMode"), stored.get("volumeMode"), "spec.volumeMode")
        if stored.get("nodeAffinity"):
            causes += f.unchanged(new.get("nodeAffinity"), stored["nodeAffinity"], "spec.nodeAffinity")
        return causes


def _capacity(capacity: Obj) -> list[Cause]:
    if not capacity:
        return [f.required("spec.capacity")]
    if "storage" not in capacity or len(capacity) > 1:
        return [f.not_supported("spec.capacity", capacity, ("storage",))]
    if Quantity.parse(capacity["storage"]) <= Quantity.parse("0"):
        return [f.invalid("spec.capacity[storage]", str(capacity["storage"]), "must be greater than zero")]
    return []


def _source(spec: Obj) -> list[Cause]:
    given = [kind for kind in SOURCES if spec.get(kind) is not None]
    if not given:
        return [f.required("spec", "must specify a volume type")]
    causes = [f.forbidden(f"spec.{kind}", "may not specify more than 1 volume type") for kind in given[1:]]
    source, path = spec[given[0]], f"spec.{given[0]}"
    if given[0] in ("hostPath", "local"):
        causes += no_backsteps(source["path"], f"{path}.path") if source.get("path") else [f.required(f"{path}.path")]
    if given[0] == "hostPath" and (source.get("type") or "") not in HOST_PATH_TYPES:
        causes.append(f.not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES))
    if given[0] == "local" and not spec.get("nodeAffinity"):
        causes.append(f.required("spec.nodeAffinity", "Local volume requires node affinity"))
    if given[0] == "csi":
        causes += [f.required(f"{path}.{key}") for key in ("driver", "volumeHandle") if not source.get(key)]
    return causes
