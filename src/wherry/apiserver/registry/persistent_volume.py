"""PersistentVolumes: one source, for life."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.pod_defaults import canonical_list, default_volume
from wherry.apiserver.registry.pod_update import difference
from wherry.apiserver.registry.pod_warnings import OLD_LABELS
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form
from wherry.apiserver.registry.validation import persistent_volume as rules

_IMMUTABLE = "spec.persistentvolumesource is immutable after creation"


class PersistentVolumeStrategy(BuiltIn):
    checks_metadata_again = True
    has_generation = False
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if spec.get("capacity"):
            spec["capacity"] = canonical_list(spec["capacity"])
        for kind in rules.SOURCES:
            if spec.get(kind) is not None:
                default_volume({"name": "", kind: spec[kind]})

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Obj) -> list[Cause]:
        return rules.spec(obj["spec"], "spec", obj["metadata"].get("name") or "")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        before, now = ({kind: spec[kind] for kind in rules.SOURCES if kind in spec} for spec in (stored, new))
        if before.get("csi") and now.get("csi") and before["csi"].get("controllerExpandSecretRef") is None:
            # May be told later.
            now["csi"] = {key: value for key, value in now["csi"].items() if key != "controllerExpandSecretRef"}
        causes: list[Cause] = []
        if before != now:
            causes.append(f.forbidden("spec.persistentvolumesource", f"{_IMMUTABLE}\n{difference(before, now)}"))
        causes += f.unchanged(new.get("volumeMode"), stored.get("volumeMode"), "volumeMode")
        if stored.get("nodeAffinity"):
            causes += _same_affinity(new.get("nodeAffinity"), stored["nodeAffinity"])
        if stored.get("volumeAttributesClassName") is not None and new.get("volumeAttributesClassName") is None:
            causes.append(
                f.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
            )
        return causes


def _same_affinity(new: Obj | None, old: Obj) -> list[Cause]:
    """As it was, or with a label by its newer name."""
    if new is not None and _with_new_names(new, old) == old:
        return []
    shown = None if new is None else {"Required": _shown(new.get("required"))}
    return [f.invalid("nodeAffinity", shown, f"{f.IMMUTABLE}, except for updating from beta label to GA")]


def _shown(selector: Obj | None) -> Obj | None:
    if selector is None:
        return None
    terms = [internal_form.shown(term, "NodeSelectorTerm") for term in f.as_list(selector.get("nodeSelectorTerms"))]
    return {"NodeSelectorTerms": terms or None}


def _with_new_names(new: Obj, old: Obj) -> Obj:
    """The new affinity with the old names of labels wherever the old one has them."""
    now, before = (f.as_list(f.as_dict(each.get("required")).get("nodeSelectorTerms")) for each in (new, old))
    terms = []
    for i, term in enumerate(now):
        known = f.as_list(before[i].get("matchExpressions")) if i < len(before) else []
        expressions = f.as_list(term.get("matchExpressions"))
        renamed = [
            {**each, "key": known[k]["key"]}
            if k < len(known) and OLD_LABELS.get(known[k]["key"]) == each["key"]
            else each
            for k, each in enumerate(expressions)
        ]
        terms.append({**term, "matchExpressions": renamed} if expressions else term)
    return {**new, "required": {**f.as_dict(new.get("required")), "nodeSelectorTerms": terms}}
