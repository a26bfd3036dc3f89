"""Jobs: a selector nobody else has, numbers, and policies for failure and success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_defaults, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, fill, quantity_text, section
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form, selectors
from wherry.apiserver.registry.validation import job as rules
from wherry.apiserver.registry.workload import counts, selector_matches

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID, _OLD_JOB_NAME = "controller-uid", "job-name"
_UNLIMITED = 2**31 - 1
_SUSPENDED_MAY_CHANGE = ("nodeSelector", "tolerations", "schedulingGates", "affinity")


class JobStrategy(BuiltIn):
    empty_status = {}  # noqa: RUF012 - a constant
    default_orphan = True
    condition_times = ("lastProbeTime", "lastTransitionTime")

    def default(self, obj: Obj) -> None:
        super().default(obj)
        default_spec(obj["spec"])
        labels = section(section(obj["spec"], "template"), "metadata").get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        if obj["spec"].get("manualSelector"):
            return
        uid, name, spec = obj["metadata"]["uid"], obj["metadata"]["name"], obj["spec"]
        metadata = section(spec["template"], "metadata")
        metadata["labels"] = {**_own_labels(obj), **(metadata.get("labels") or {})}
        section(section(spec, "selector"), "matchLabels").setdefault(CONTROLLER_UID, uid)
        if not obj["metadata"].get("labels") and not names.label_value(name):
            obj["metadata"]["labels"] = dict(metadata["labels"])

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes: list[Cause] = []
        labels = f.as_dict(f.as_dict(spec.get("template")).get("metadata")).get("labels")
        if not spec.get("manualSelector") and spec.get("selector") is not None:
            causes += _generated(_own_labels(obj), spec["selector"], labels)
        if spec.get("selector") is None:
            causes.append(f.required("spec.selector"))
        elif not selectors.label_selector(spec["selector"], "") and not selector_matches(spec["selector"], labels):
            causes.append(f.invalid("spec.template.metadata.labels", f.in_order(labels), selectors.MISMATCH))
        causes += selectors.label_selector(spec.get("selector"), "spec.selector")
        return causes + rules.spec(spec, "spec") + _pod_name(obj["metadata"].get("name") or "", spec)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        causes = _completions(new, stored)
        causes += selectors.unchanged(new.get("selector"), stored.get("selector"), "spec.selector")
        for key in ("completionMode", "backoffLimitPerIndex", "managedBy"):
            causes += f.unchanged(new.get(key), stored.get(key), f"spec.{key}")
        for key, struct in (("podFailurePolicy", "FailurePolicy"), ("successPolicy", "SuccessPolicy")):
            if new.get(key) != stored.get(key):
                shown = None if new.get(key) is None else internal_form.shown(new[key], struct)
                causes.append(f.invalid(f"spec.{key}", shown, f.IMMUTABLE))
        stopped = not f.as_dict(old.get("status")).get("active")
        return causes + _template(new, stored, bool(stored.get("suspend")), stopped)

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return counts(f.as_dict(obj.get("status")), "active", "succeeded", "failed", "ready", "terminating")

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        return [] if old is not None else pod_warnings.template(obj["spec"]["template"], "spec.template")

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"status.successful": quantity_text(obj, "status", "succeeded")}


def _own_labels(obj: Obj) -> Obj:
    """What tells a Job's pods from others', by the newer names and the older ones."""
    uid, name = obj["metadata"].get("uid") or "", obj["metadata"].get("name") or ""
    return {CONTROLLER_UID: uid, JOB_NAME: name, _OLD_CONTROLLER_UID: uid, _OLD_JOB_NAME: name}


def _generated(own: Obj, selector: Obj, labels: Obj | None) -> list[Cause]:
    """Whether the labels are there that were filled in, as they were, and a selector picks by them."""
    causes: list[Cause] = []
    for key, value in own.items():
        at, detail = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in f.as_dict(labels):
            causes.append(f.required(at, detail))
        elif f.as_dict(labels)[key] != value:
            causes.append(f.invalid(at, f.in_order(labels), detail))
    if not selectors.label_selector(selector, "") and not selector_matches(selector, own):
        causes.append(f.invalid("spec.selector", selectors.shown(selector), "`selector` not auto-generated"))
    return causes


def default_spec(spec: Obj) -> None:
    """A Job's own spec."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    fill(spec, backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else _UNLIMITED)
    failed = spec.get("podFailurePolicy") is not None
    fill(spec, podReplacementPolicy="Failed" if failed else "TerminatingOrFailed")
    for rule in f.as_list(f.as_dict(spec.get("podFailurePolicy")).get("rules")):
        for pattern in f.as_list(rule.get("onPodConditions")):
            fill(pattern, status="True")
    pod_defaults.default_template(section(spec, "template"))


def _pod_name(name: str, spec: Obj) -> list[Cause]:
    """An indexed Job's pods carry its name and their index as host names."""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return []
    last = f"{name}-{completions - 1}"
    if not names.dns1123_label(last):
        return []
    return [f.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")]


def _completions(new: Obj, old: Obj) -> list[Cause]:
    """Fixed, except that an indexed Job may be made longer or shorter together with its parallelism."""
    now, path = new.get("completions"), "spec.completions"
    if now == old.get("completions"):
        return []
    if new.get("completionMode") != "Indexed":
        return [f.invalid(path, now, f.IMMUTABLE)]
    if now is None or now == new.get("parallelism"):
        return []
    return [f.invalid(path, now, "can only be modified in tandem with spec.parallelism")]


def _template(new: Obj, old: Obj, suspended: bool, stopped: bool) -> list[Cause]:
    """A suspended Job may still be told where its pods shall run and how they are labelled, and one whose pods have all
    `stopped` how much they ask for."""

    def fixed(spec: Obj) -> dict[str, Any]:
        template = f.as_dict(spec.get("template"))
        if not suspended:
            return template
        pod = f.as_dict(template.get("spec"))
        kept = {key: value for key, value in pod.items() if key not in _SUSPENDED_MAY_CHANGE}
        if stopped:
            kept |= {key: _without_amounts(pod.get(key)) for key in ("containers", "initContainers")}
        return {"spec": kept}

    if fixed(new) == fixed(old):
        return []
    wanted = f.as_dict(new.get("template"))
    pod = internal_form.shown(f.as_dict(wanted.get("spec")), "PodSpec")
    whole = {**f.as_dict(wanted.get("metadata")), "Spec": pod}
    path, value = ("spec.template.spec", pod) if suspended else ("spec.template", whole)
    return [f.invalid(path, value, f.IMMUTABLE)]


def _without_amounts(containers: Any) -> list[Obj]:
    """Containers without their requests and limits."""
    result = []
    for container in f.as_list(containers):
        resources = f.as_dict(container.get("resources"))
        others = {key: value for key, value in resources.items() if key not in ("requests", "limits")}
        result.append({**container, "resources": others})
    return result
