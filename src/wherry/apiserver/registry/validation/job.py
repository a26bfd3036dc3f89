"""What makes the spec of a Job impossible."""

from __future__ import annotations

import re

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_spec

_MAX_INDEXES = 100_000
_NUMBERS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_PREFIXED = re.compile(r"[^/]+/[^/]+\Z")


def spec(value: Obj, path: str) -> list[Cause]:
    """Everything but the selector."""
    causes = [cause for key in _NUMBERS for cause in f.non_negative(value.get(key), f"{path}.{key}")]
    causes += f.one_of(value.get("completionMode"), f"{path}.completionMode", ("NonIndexed", "Indexed"), need=True)
    causes += _indexed(value, path) if value.get("completionMode") == "Indexed" else _not_indexed(value, path)
    causes += _managed_by(value.get("managedBy"), f"{path}.managedBy")
    template = f.as_dict(value.get("template"))
    causes += pod_spec.template(template, f"{path}.template")
    policy = f.as_dict(template.get("spec")).get("restartPolicy")
    if policy == "Always":
        causes.append(f.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    if value.get("podFailurePolicy") is not None:
        if policy == "OnFailure":
            detail = 'only "Never" is supported when podFailurePolicy is specified'
            causes.append(f.invalid(f"{path}.template.spec.restartPolicy", policy, detail))
        for i, rule in enumerate(f.as_list(value["podFailurePolicy"].get("rules"))):
            causes += _failure_rule(rule, value, f"{path}.podFailurePolicy.rules[{i}]")
    causes += _success_policy(value, f"{path}.successPolicy")
    replacement = value.get("podReplacementPolicy")
    supported = ("Failed",) if value.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    return causes + f.one_of(replacement, f"{path}.podReplacementPolicy", supported)


def _indexed(value: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    completions, parallelism = value.get("completions"), value.get("parallelism")
    if completions is None:
        causes.append(f.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _MAX_INDEXES:
        detail = f"must be less than or equal to {_MAX_INDEXES} when completion mode is Indexed"
        causes.append(f.invalid(f"{path}.parallelism", parallelism, detail))
    failed, each = value.get("maxFailedIndexes"), value.get("backoffLimitPerIndex")
    causes += f.non_negative(failed, f"{path}.maxFailedIndexes") + f.non_negative(each, f"{path}.backoffLimitPerIndex")
    if failed is not None:
        if each is None:
            causes.append(f.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
        if completions is not None and failed > completions:
            causes.append(f.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    return causes


def _not_indexed(value: Obj, path: str) -> list[Cause]:
    return [
        f.invalid(f"{path}.{key}", value[key], "requires indexed completion mode")
        for key in ("backoffLimitPerIndex", "maxFailedIndexes")
        if value.get(key) is not None
    ]


def _managed_by(value: str | None, path: str) -> list[Cause]:
    if value is None:
        return []
    prefix, _, rest = value.partition("/")
    if not _PREFIXED.match(value) or names.dns1123_subdomain(prefix) or not rest:
        return [f.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return []


def _failure_rule(rule: Obj, value: Obj, path: str) -> list[Cause]:
    action = rule.get("action") or ""
    causes = f.one_of(action, f"{path}.action", _ACTIONS, need=True)
    if action == "FailIndex" and value.get("backoffLimitPerIndex") is None:
        causes.append(f.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    codes, conditions = rule.get("onExitCodes"), f.as_list(rule.get("onPodConditions"))
    if codes is not None:
        causes += _exit_codes(codes, value, f"{path}.onExitCodes")
    for i, pattern in enumerate(conditions):
        at = f"{path}.onPodConditions[{i}]"
        causes += f.qualified(pattern.get("type") or "", f"{at}.type")
        causes += f.one_of(pattern.get("status"), f"{at}.status", ("False", "True", "Unknown"), need=True)
    # Kubernetes names no value here, only the sentence.
    sentence = ""
    if codes is not None and conditions:
        sentence = "specifying both OnExitCodes and OnPodConditions is not supported"
    elif codes is None and not conditions:
        sentence = "specifying one of OnExitCodes and OnPodConditions is required"
    return [*causes, Cause("FieldValueInvalid", f"Invalid value: {sentence}", path)] if sentence else causes


def _exit_codes(codes: Obj, value: Obj, path: str) -> list[Cause]:
    causes = f.one_of(codes.get("operator"), f"{path}.operator", ("In", "NotIn"), need=True)
    name = codes.get("containerName")
    if name is not None:
        pod = f.as_dict(f.as_dict(value.get("template")).get("spec"))
        known = {c.get("name") for key in ("containers", "initContainers") for c in f.as_list(pod.get(key))}
        if name not in known:
            detail = "must be one of the container or initContainer names in the pod template"
            causes.append(f.invalid(f"{path}.containerName", name, detail))
    listed = f.as_list(codes.get("values"))
    if not listed:
        causes.append(f.invalid(f"{path}.values", listed, "at least one value is required"))
    for i, code in enumerate(listed):
        if codes.get("operator") == "In" and code == 0:
            causes.append(f.invalid(f"{path}.values[{i}]", code, "must not be 0 for the In operator"))
        if code in listed[:i]:
            causes.append(f.duplicate(f"{path}.values[{i}]", code))
    if listed != sorted(listed):
        causes.append(f.invalid(f"{path}.values", listed, "must be ordered"))
    return causes


def _success_policy(value: Obj, path: str) -> list[Cause]:
    policy = value.get("successPolicy")
    if policy is None:
        return []
    if value.get("completionMode") != "Indexed":
        return [f.invalid(path, policy, "requires indexed completion mode")]
    listed = f.as_list(policy.get("rules"))
    if not listed:
        return [f.required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")]
    causes: list[Cause] = []
    for i, rule in enumerate(listed):
        at = f"{path}.rules[{i}]"
        if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None:
            detail = "at least one of succeededCount or succeededIndexes must be specified"
            causes.append(f.required(at, detail))
        count = rule.get("succeededCount")
        causes += f.non_negative(count, f"{at}.succeededCount")
        if count is not None and count > (value.get("completions") or 0):
            detail = f"must be less than or equal to {value.get('completions')} (the number of specified completions)"
            causes.append(f.invalid(f"{at}.succeededCount", count, detail))
    return causes
