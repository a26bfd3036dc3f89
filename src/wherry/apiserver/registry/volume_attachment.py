"""VolumeAttachments: which volume a driver is to attach to which node; a wish that never changes."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import persistent_volume
from wherry.apiserver.registry.validation.volume_sources import csi_driver_name

METADATA_BYTES_MAX = 256 * 1024
MESSAGE_BYTES_MAX = 1024
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


class VolumeAttachmentStrategy(BuiltIn):
    allow_unconditional_update = False
    returns_deleted = True
    has_generation = False

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        attacher, node = spec.get("attacher") or "", spec.get("nodeName") or ""
        causes = csi_driver_name(attacher, "spec.attacher") if attacher else [f.required("spec.attacher")] * 2
        causes += _source(f.as_dict(spec.get("source")), "spec.source")
        causes += f.each_invalid("spec.nodeName", node, names.dns1123_subdomain(node))
        return causes + _status(f.as_dict(obj.get("status")))

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return [] if obj["spec"] == old["spec"] else [f.invalid("spec", obj["spec"], f.IMMUTABLE)]

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return _status(f.as_dict(obj.get("status")))


def _source(source: Obj, path: str) -> list[Cause]:
    name, spec = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and spec is None:
        return [f.required(path, _ONE_SOURCE)]
    if name is not None and spec is not None:
        return [f.forbidden(path, _ONE_SOURCE)]
    if spec is not None:
        return persistent_volume.inline(spec, f"{path}.inlineVolumeSpec")
    at = f"{path}.persistentVolumeName"
    causes = [] if name else [f.required(at, "must specify non empty persistentVolumeName")]
    return causes + f.each_invalid(at, name, names.dns1123_subdomain(name or ""))


def _status(status: Obj) -> list[Cause]:
    metadata = f.as_dict(status.get("attachmentMetadata"))
    causes: list[Cause] = []
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > METADATA_BYTES_MAX:
        causes.append(f.too_long("status.attachmentMetadata", METADATA_BYTES_MAX))
    for key in ("attachError", "detachError"):
        error = f.as_dict(status.get(key))
        if len((error.get("message") or "").encode()) > MESSAGE_BYTES_MAX:
            # Kubernetes names the other limit in the text.
            causes.append(f.too_long(f"status.{key}.message", METADATA_BYTES_MAX))
        if (error.get("errorCode") or 0) < 0:
            detail = "must be between 0 and 2147483647, inclusive"
            causes.append(f.invalid(f"status.{key}.errorCode", error["errorCode"], detail))
    return causes
