"""Pods: what a creator may not say, what may change afterwards, how long an end may take."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from wherry.aio.clock import rfc3339
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_affinity_keys, pod_defaults, pod_status, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form, pod_spec

_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


class PodStrategy(BuiltIn):
    checks_metadata_again = True
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        pod_defaults.default_pod(obj["spec"])
        if obj.get("status"):
            pod_status.sync_addresses(obj["status"])
            pod_status.fill(obj["status"])

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        spec = obj["spec"]
        spec.pop("ephemeralContainers", None)
        if spec.get("affinity"):
            pod_affinity_keys.merge(spec, f.as_dict(obj["metadata"].get("labels")))
        status: Obj = {"phase": "Pending"}
        if spec.get("schedulingGates"):
            status["conditions"] = [{**_GATED, "lastTransitionTime": rfc3339(ctx.clock.time())}]
        status["qosClass"] = qos_class(spec)
        obj["status"] = status

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_status_update(obj, old, ctx)
        if obj.get("status") is None:
            obj["status"] = {}
        # Decided once, from a spec that cannot change it.
        obj["status"].setdefault("qosClass", (old.get("status") or {}).get("qosClass") or qos_class(old["spec"]))

    def validate(self, obj: Obj) -> list[Cause]:
        return pod_spec.pod_spec(obj["spec"], "spec", obj["metadata"].get("name") or "")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        for key in ("containers", "initContainers"):
            if len(f.as_list(new.get(key))) != len(f.as_list(stored.get(key))):
                return [f.forbidden(f"spec.{key}", "pod updates may not add or remove containers")]
        causes = _deadline(new.get("activeDeadlineSeconds"), stored.get("activeDeadlineSeconds"))
        causes += _tolerations(f.as_list(new.get("tolerations")), f.as_list(stored.get("tolerations")))
        causes += _gates(f.as_list(new.get("schedulingGates")), f.as_list(stored.get("schedulingGates")))
        if causes:
            return causes
        munged = _with_open_fields_of(new, stored)
        if munged == stored:
            return []
        return [f.forbidden("spec", f"{_MAY_CHANGE}\n{difference(stored, munged, 'PodSpec')}")]

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return pod_status.validate(obj, old)

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        if old is not None and old["spec"] == obj["spec"]:
            return []
        return pod_warnings.pod(obj)

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {
            "spec.nodeName": text(obj, "spec", "nodeName"),
            "spec.restartPolicy": text(obj, "spec", "restartPolicy"),
            "spec.schedulerName": text(obj, "spec", "schedulerName"),
            "spec.serviceAccountName": text(obj, "spec", "serviceAccountName"),
            "spec.hostNetwork": text(obj, "spec", "hostNetwork") or "false",
            "status.phase": text(obj, "status", "phase"),
            "status.podIP": text(obj, "status", "podIP"),
            "status.podIPs": text(obj, "status", "podIP"),
            "status.nominatedNodeName": text(obj, "status", "nominatedNodeName"),
        }

    def graceful(self, obj: Obj, options: Obj) -> int | None:
        seconds = options.get("gracePeriodSeconds")
        if seconds is None:
            seconds = obj["spec"].get("terminationGracePeriodSeconds") or 0
        ended = text(obj, "status", "phase") in ("Failed", "Succeeded")
        if ended or not obj["spec"].get("nodeName"):
            return 0
        return max(int(seconds), 1) if seconds else 0


def _deadline(new: Any, old: Any) -> list[Cause]:
    path = "spec.activeDeadlineSeconds"
    if old is None or new == old:
        return []
    if new is None:
        return [f.invalid(path, new, "must not update from a positive integer to nil value")]
    return [f.invalid(path, new, "must be less than or equal to previous value")] if new > old else []


def _tolerations(new: list[Obj], old: list[Obj]) -> list[Cause]:
    """Old ones stay, save for their seconds; new ones may follow."""

    def core(toleration: Obj) -> Obj:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [core(toleration) for toleration in new]
    if all(core(toleration) in kept for toleration in old):
        return []
    return [f.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]


def _gates(new: list[Obj], old: list[Obj]) -> list[Cause]:
    known = {gate.get("name") for gate in old}
    return [
        f.forbidden("spec.schedulingGates", f"only deletion is allowed, but found new scheduling gate '{gate['name']}'")
        for gate in new
        if gate.get("name") not in known
    ]


def _with_open_fields_of(new: Obj, stored: Obj) -> Obj:
    """The new spec with what an update may change taken from the stored one: anything left is one change too many."""
    merged = dict(new)
    open_fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if stored.get("schedulingGates"):
        # A pod nobody may schedule yet may still be told where it would go.
        open_fields += ["nodeSelector", "affinity"]
    if (stored.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        open_fields.append("terminationGracePeriodSeconds")
    for key in open_fields:
        merged.pop(key, None)
        if key in stored:
            merged[key] = stored[key]
    for key in ("containers", "initContainers"):
        if stored.get(key):
            pairs = zip(stored[key], new[key], strict=True)
            merged[key] = [_keep_image(after, before) for before, after in pairs]
    return merged


def _keep_image(container: Obj, before: Obj) -> Obj:
    kept = {key: value for key, value in container.items() if key != "image"}
    return {**kept, "image": before["image"]} if "image" in before else kept


def difference(old: Obj, new: Obj, struct: str = "") -> str:
    """What differs, as lines of a unified diff: of the internal form of `struct`, or of sorted JSON."""
    before, after = (_lines(internal_form.shown(value, struct) if struct else value, struct) for value in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, lineterm=""))[2:]) + "\n"


def _lines(value: Obj, struct: str) -> list[str]:
    encoded = msgspec.json.encode(value) if struct else msgspec.json.encode(value, order="sorted")
    return msgspec.json.format(encoded, indent=1).decode().splitlines()


def qos_class(spec: Obj) -> str:
    """Guaranteed when every container limits what it requests, BestEffort when none asks for anything."""
    guaranteed, asks = True, False
    for container in [*f.as_list(spec.get("initContainers")), *f.as_list(spec.get("containers"))]:
        resources = f.as_dict(container.get("resources"))
        limits, requests = (_compute(f.as_dict(resources.get(key))) for key in ("limits", "requests"))
        asks = asks or bool(limits or requests)
        if not {"cpu", "memory"} <= limits.keys() or requests != limits:
            guaranteed = False
    if not asks:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: Obj) -> Obj:
    return {name: amounts[name] for name in ("cpu", "memory") if amounts.get(name) not in (None, "0")}
