"""What an update of a pod may change: images, a shorter deadline, further tolerations; of a pod that is not yet scheduled also
where it may run. Pure: two pods in, causes out.

Not here: `/resize` (pod_resize.py), `/status` (pod_status.py), `/ephemeralcontainers` (scopes.py).
"""

from __future__ import annotations

from typing import Any

import msgspec

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form, pod_annotations, scheduling

_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_LIMIT = 2**31 - 1


def rules(pod: Obj, old: Obj) -> list[Cause]:
    """Beyond what is wrong with the new pod by itself; some of that Kubernetes says again."""
    new, stored = pod["spec"], old["spec"]
    now, before = (f.as_dict(each["metadata"].get("annotations")) for each in (pod, old))
    causes = pod_annotations.kept(now, before, "metadata.annotations")
    causes += pod_annotations.rules(now, new, "metadata.annotations")
    for key in ("containers", "initContainers"):
        if len(f.as_list(new.get(key))) != len(f.as_list(stored.get(key))):
            return [*causes, f.forbidden(f"spec.{key}", "pod updates may not add or remove containers")]
        causes += _images(f.as_list(new.get(key)), f"spec.{key}")
    late, final = _deadline(new.get("activeDeadlineSeconds"), stored.get("activeDeadlineSeconds"))
    if final:
        return causes + late
    causes += late + _tolerations(f.as_list(new.get("tolerations")), f.as_list(stored.get("tolerations")))
    causes += _gates(f.as_list(new.get("schedulingGates")), f.as_list(stored.get("schedulingGates")))
    if new == stored:
        return causes
    munged = _with_open_fields_of(new, stored)
    if stored.get("schedulingGates"):
        causes += _where(munged, stored)
    if munged == stored:
        return causes
    return [*causes, f.forbidden("spec", f"{_MAY_CHANGE}\n{difference(stored, munged, 'PodSpec')}")]


def _images(containers: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, container in enumerate(containers):
        image, at = container.get("image") or "", f"{path}[{i}].image"
        if not image:
            causes.append(f.required(at))
        elif image != image.strip():
            causes.append(f.invalid(at, image, "must not have leading or trailing whitespace"))
    return causes


def _deadline(new: Any, old: Any) -> tuple[list[Cause], bool]:
    """(causes, whether nothing else is said)."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        gone = [f.invalid(path, new, "must not update from a positive integer to nil value")]
        return (gone if old is not None else []), False
    if not 0 <= new <= _LIMIT:
        return [f.invalid(path, new, f"must be between 0 and {_LIMIT}, inclusive")], True
    if old is not None and old < new:
        return [f.invalid(path, new, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(new: list[Obj], old: list[Obj]) -> list[Cause]:
    """Old ones stay, save for their seconds; new ones may follow."""

    def core(toleration: Obj) -> Obj:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [core(toleration) for toleration in new]
    if all(core(toleration) in kept for toleration in old):
        return scheduling.tolerations(new, "spec.tolerations")
    return [f.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]


def _gates(new: list[Obj], old: list[Obj]) -> list[Cause]:
    known = {gate.get("name") for gate in old}
    said = "only deletion is allowed, but found new scheduling gate"
    return [
        f.forbidden(f"spec.schedulingGates[{i}].name", f"{said} '{gate['name']}'")
        for i, gate in enumerate(new)
        if gate.get("name") not in known
    ]


def _with_open_fields_of(new: Obj, stored: Obj) -> Obj:
    """The new spec with what an update may change taken from the stored one: anything left is one change too many."""
    merged = dict(new)
    open_fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if (stored.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        open_fields.append("terminationGracePeriodSeconds")
    for key in open_fields:
        _take(merged, stored, key)
    for key in ("containers", "initContainers"):
        if stored.get(key):
            pairs = zip(stored[key], new[key], strict=True)
            merged[key] = [_keep_image(after, before) for before, after in pairs]
    return merged


def _take(merged: Obj, stored: Obj, key: str) -> None:
    merged.pop(key, None)
    if key in stored:
        merged[key] = stored[key]


def _keep_image(container: Obj, before: Obj) -> Obj:
    kept = {key: value for key, value in container.items() if key != "image"}
    return {**kept, "image": before["image"]} if "image" in before else kept


def _where(munged: Obj, stored: Obj) -> list[Cause]:
    """A pod nobody may schedule yet may be told more exactly where it shall run. What was judged here becomes, in place, as it
    is stored."""
    causes: list[Cause] = []
    new, old = f.as_dict(munged.get("nodeSelector")), f.as_dict(stored.get("nodeSelector"))
    if new != old:
        if any(new.get(key) != value for key, value in old.items()):
            detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            causes.append(f.invalid("spec.nodeSelector", new or None, detail))
        _take(munged, stored, "nodeSelector")
    before = f.as_dict(stored.get("affinity")).get("nodeAffinity")
    now = f.as_dict(munged.get("affinity")).get("nodeAffinity")
    if before == now:
        return causes
    causes += _narrower(now, before, "spec.affinity.nodeAffinity")
    others = {key: value for key, value in f.as_dict(munged.get("affinity")).items() if key != "nodeAffinity"}
    if before is not None:
        munged["affinity"] = {**others, "nodeAffinity": before}
    elif others or "affinity" in stored:
        munged["affinity"] = others
    else:
        del munged["affinity"]
    return causes


def _narrower(new: Obj | None, old: Obj | None, path: str) -> list[Cause]:
    """Terms are alternatives, so there may be no further ones; within each there may."""
    required = f.as_dict(old).get(_REQUIRED)
    before = f.as_list(f.as_dict(required).get("nodeSelectorTerms"))
    now = f.as_list(f.as_dict(f.as_dict(new).get(_REQUIRED)).get("nodeSelectorTerms"))
    at = f"{path}.{_REQUIRED}.nodeSelectorTerms"
    if not before:
        return []
    if len(before) != len(now):
        shown = [internal_form.shown(term, "NodeSelectorTerm") for term in now] or None
        return [f.invalid(at, shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")]
    return [
        f.invalid(f"{at}[{i}]", internal_form.shown(term, "NodeSelectorTerm"),
                  "only additions are allowed (no mutations or deletions)")
        for i, (term, known) in enumerate(zip(now, before, strict=True))
        if not _begins_with(term, known)
    ]  # fmt: skip


def _begins_with(term: Obj, known: Obj) -> bool:
    pairs = [(f.as_list(term.get(key)), f.as_list(known.get(key))) for key in ("matchExpressions", "matchFields")]
    if not any(old for _, old in pairs):
        return not any(new for new, _ in pairs)
    return all(new[: len(old)] == old for new, old in pairs)


def difference(old: Obj, new: Obj, struct: str = "") -> str:
    """What differs, as lines of a unified diff: of the internal form of `struct`, or of sorted JSON."""
    import difflib  # only refusals show differences

    before, after = (_lines(internal_form.shown(value, struct) if struct else value, struct) for value in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, lineterm=""))[2:]) + "\n"


def _lines(value: Obj, struct: str) -> list[str]:
    encoded = msgspec.json.encode(value) if struct else msgspec.json.encode(value, order="sorted")
    return msgspec.json.format(encoded, indent=1).decode().splitlines()
