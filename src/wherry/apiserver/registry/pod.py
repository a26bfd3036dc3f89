"""Pods: what a creator may not say, what may change afterwards, how long an end may take."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.aio.clock import rfc3339
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_affinity_keys, pod_defaults, pod_status, pod_update, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_annotations, pod_spec

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
    lies_on_nodes = True

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
        annotations = f.as_dict(obj["metadata"].get("annotations"))
        causes = pod_annotations.rules(annotations, obj["spec"], "metadata.annotations")
        return causes + pod_spec.pod_spec(obj["spec"], "spec", obj["metadata"].get("name") or "", is_pod=True)

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        spec, annotations = obj["spec"], f.as_dict(obj["metadata"].get("annotations"))
        causes = self.validate(obj)
        if spec.get("nodeName") and spec.get("schedulingGates"):
            causes.append(f.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
        return causes + pod_annotations.agreeing(annotations, spec, "spec")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return pod_update.rules(obj, old)

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
