"""PersistentVolumeClaims: a spec that stays, except that a bound claim may ask for more."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill, section
from wherry.apiserver.registry.pod_defaults import canonical_resources
from wherry.apiserver.registry.pod_update import difference
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import claims
from wherry.apiserver.registry.validation import field as f

_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimStrategy(BuiltIn):
    checks_metadata_again = True
    has_generation = False
    returns_deleted = True
    empty_status = {"phase": "Pending"}  # noqa: RUF012 - a constant
    condition_times = ("lastProbeTime", "lastTransitionTime")

    def default(self, obj: Obj) -> None:
        super().default(obj)
        default_spec(obj["spec"])

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        _sync_sources(obj["spec"])

    def validate(self, obj: Obj) -> list[Cause]:
        return claims.spec(obj["spec"], "spec")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        bound = (old.get("status") or {}).get("phase") == "Bound"
        permitted = dict(stored)
        if not stored.get("volumeName") and new.get("volumeName"):
            permitted["volumeName"] = new["volumeName"]
        if stored.get("storageClassName") is None and new.get("storageClassName") is not None:
            # A default class came later than the claim.
            permitted["storageClassName"] = new["storageClassName"]
        if bound:
            permitted["resources"] = {**f.as_dict(stored.get("resources"))}
            requests = f.as_dict(new.get("resources")).get("requests")
            if requests is not None:
                permitted["resources"]["requests"] = requests
            for key in ("volumeAttributesClassName",):
                if key in new:
                    permitted[key] = new[key]
        causes = (
            []
            if permitted == new
            else [f.forbidden("spec", f"{_IMMUTABLE}\n{difference(permitted, new, 'ClaimSpec')}")]
        )
        causes += _not_less(new, old) + f.unchanged(new.get("volumeMode"), stored.get("volumeMode"), "volumeMode")
        return causes + _attributes_class(new.get("volumeAttributesClassName"), stored.get("volumeAttributesClassName"))

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        causes = claims.status_amounts(status)
        if "accessModes" in status and not status["accessModes"]:
            causes.append(f.required("status.accessModes", "at least 1 access mode is required"))
        return causes


def default_spec(spec: Obj) -> None:
    """Shared with the claim templates of StatefulSets."""
    fill(spec, volumeMode="Filesystem")
    canonical_resources(section(spec, "resources"))


def _sync_sources(spec: Obj) -> None:
    """`dataSource` and `dataSourceRef` say the same; sources of kinds that cannot be are dropped."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        group, kind = source.get("apiGroup") or "", source.get("kind")
        known = (group, kind) in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
        if known:
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _not_less(new: Obj, old: Obj) -> list[Cause]:
    """A claim grows, or goes back to more than it already has."""
    asked, before = (
        f.as_dict(f.as_dict(s.get("resources")).get("requests")).get("storage") for s in (new, old["spec"])
    )
    if asked is None or before is None or Quantity.parse(asked) >= Quantity.parse(before):
        return []
    held = f.as_dict(f.as_dict(old.get("status")).get("capacity")).get("storage") or "0"
    if Quantity.parse(asked) > Quantity.parse(held):
        return []
    return [f.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]


def _attributes_class(new: str | None, old: str | None) -> list[Cause]:
    """Chosen once, it is another one or the same for ever."""
    if old is None or new:
        return []
    what = "nil" if new is None else "an empty string"
    return [f.forbidden("spec.volumeAttributesClassName", f"update from non-nil value to {what} is forbidden")]
