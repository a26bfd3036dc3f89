"""What makes the spec of a Job impossible."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form, job_indexes, pod_spec

MAX_INDEXES = 100_000
RULES_MAX = 20
"""Rules of a policy, and conditions of a rule."""
EXIT_CODES_MAX = 255
INDEXES_BYTES_MAX = 64 * 1024
MANAGED_BY_MAX = 63
_MAX_OF_MANY = 10_000
_NUMBERS = (
    *("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
    *("backoffLimitPerIndex", "maxFailedIndexes"),
)
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def spec(value: Obj, path: str) -> list[Cause]:
    """Everything but the selector."""
    causes = [cause for key in _NUMBERS for cause in f.non_negative(value.get(key), f"{path}.{key}")]
    causes += f.one_of(value.get("completionMode"), f"{path}.completionMode", ("NonIndexed", "Indexed"), need=True)
    if value.get("maxFailedIndexes") is not None and value.get("backoffLimitPerIndex") is None:
        causes.append(f.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    causes += _indexed(value, path) if value.get("completionMode") == "Indexed" else _not_indexed(value, path)
    causes += _managed_by(value.get("managedBy"), f"{path}.managedBy")
    template = f.as_dict(value.get("template"))
    causes += pod_spec.template(template, f"{path}.template")
    failure = value.get("podFailurePolicy")
    policy = f.as_dict(template.get("spec")).get("restartPolicy") or ""
    causes += _restart(policy, failure, f"{path}.template.spec.restartPolicy")
    if failure is not None:
        causes += _failure_policy(failure, value, f"{path}.podFailurePolicy.rules")
    causes += _success_policy(value, f"{path}.successPolicy")
    replacement = value.get("podReplacementPolicy")
    supported = ("Failed",) if value.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    return causes + f.one_of(replacement, f"{path}.podReplacementPolicy", supported)


def _indexed(value: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    completions, parallelism = value.get("completions"), value.get("parallelism")
    if completions is None:
        causes.append(f.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > MAX_INDEXES:
        detail = f"must be less than or equal to {MAX_INDEXES} when completion mode is Indexed"
        causes.append(f.invalid(f"{path}.parallelism", parallelism, detail))
    failed, at = value.get("maxFailedIndexes"), f"{path}.maxFailedIndexes"
    if failed is not None and completions is not None and failed > completions:
        causes.append(f.invalid(at, failed, "must be less than or equal to completions"))
    if failed is not None and failed > MAX_INDEXES:
        causes.append(f.invalid(at, failed, f"must be less than or equal to {MAX_INDEXES}"))
    if (completions or 0) > MAX_INDEXES and value.get("backoffLimitPerIndex") is not None:
        causes += _many(parallelism, failed, path)
    return causes


def _many(parallelism: int | None, failed: int | None, path: str) -> list[Cause]:
    """Of very many completions only so many may run, or have failed, at a time."""
    detail = (
        f"must be less than or equal to {_MAX_OF_MANY} when completions are above {MAX_INDEXES} and used with backoff limit "
        "per index"
    )
    causes: list[Cause] = []
    if failed is None:
        needed = f"must be specified when completions is above {MAX_INDEXES}"
        causes.append(f.required(f"{path}.maxFailedIndexes", needed))
    for key, number in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
        if number is not None and number > _MAX_OF_MANY:
            causes.append(f.invalid(f"{path}.{key}", number, detail))
    return causes


def _not_indexed(value: Obj, path: str) -> list[Cause]:
    if value.get("completionMode") not in (None, "NonIndexed"):
        return []
    return [
        f.invalid(f"{path}.{key}", value[key], "requires indexed completion mode")
        for key in ("backoffLimitPerIndex", "maxFailedIndexes")
        if value.get(key) is not None
    ]


def _managed_by(value: str | None, path: str) -> list[Cause]:
    if value is None:
        return []
    causes = f.domain_prefixed_path(value, path)
    return [*causes, f.too_long(path, MANAGED_BY_MAX)] if len(value.encode()) > MANAGED_BY_MAX else causes


def _restart(policy: str, failure: Obj | None, path: str) -> list[Cause]:
    if policy in ("", "Always"):
        return [f.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [f.not_supported(path, policy, ("OnFailure", "Never"))]
    if failure is not None and policy != "Never":
        return [f.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _failure_policy(policy: Obj, value: Obj, path: str) -> list[Cause]:
    rules = f.as_list(policy.get("rules"))
    causes = [f.too_many(path, len(rules), RULES_MAX)] if len(rules) > RULES_MAX else []
    return causes + [cause for i, rule in enumerate(rules) for cause in _failure_rule(rule, value, f"{path}[{i}]")]


def _one_of(value: str, path: str, supported: tuple[str, ...]) -> list[Cause]:
    """An enumeration whose absence is told with what there is to choose."""
    if value:
        return f.one_of(value, path, supported)
    return [f.required(path, f"valid values: [{' '.join(map(f.quote, supported))}]")]


def _failure_rule(rule: Obj, value: Obj, path: str) -> list[Cause]:
    action = rule.get("action") or ""
    causes = _one_of(action, f"{path}.action", _ACTIONS)
    if action == "FailIndex" and value.get("backoffLimitPerIndex") is None:
        causes.append(f.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    codes, conditions = rule.get("onExitCodes"), f.as_list(rule.get("onPodConditions"))
    if codes is not None:
        causes += _exit_codes(codes, value, f"{path}.onExitCodes")
    if len(conditions) > RULES_MAX:
        causes.append(f.too_many(f"{path}.onPodConditions", len(conditions), RULES_MAX))
    for i, pattern in enumerate(conditions):
        at = f"{path}.onPodConditions[{i}]"
        causes += f.qualified(pattern.get("type") or "", f"{at}.type")
        causes += _one_of(pattern.get("status") or "", f"{at}.status", ("False", "True", "Unknown"))
    # Kubernetes names no value here, only the sentence.
    sentence = ""
    if codes is not None and conditions:
        sentence = "specifying both OnExitCodes and OnPodConditions is not supported"
    elif codes is None and not conditions:
        sentence = "specifying one of OnExitCodes and OnPodConditions is required"
    return [*causes, Cause("FieldValueInvalid", f"Invalid value: {sentence}", path)] if sentence else causes


def _exit_codes(codes: Obj, value: Obj, path: str) -> list[Cause]:
    causes = _one_of(codes.get("operator") or "", f"{path}.operator", ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None:
        pod = f.as_dict(f.as_dict(value.get("template")).get("spec"))
        known = {c.get("name") for key in ("containers", "initContainers") for c in f.as_list(pod.get(key))}
        if name not in known:
            detail = "must be one of the container or initContainer names in the pod template"
            causes.append(f.invalid(f"{path}.containerName", name, detail))
    listed = f.as_list(codes.get("values"))
    if not listed:
        causes.append(f.invalid(f"{path}.values", codes.get("values"), "at least one value is required"))
    elif len(listed) > EXIT_CODES_MAX:
        causes.append(f.too_many(f"{path}.values", len(listed), EXIT_CODES_MAX))
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
        return [f.invalid(path, internal_form.shown(policy, "SuccessPolicy"), "requires indexed completion mode")]
    listed = f.as_list(policy.get("rules"))
    causes: list[Cause] = []
    if not listed:
        detail = "at least one rules must be specified when the successPolicy is specified"
        causes.append(f.required(f"{path}.rules", detail))
    if len(listed) > RULES_MAX:
        causes.append(f.too_many(f"{path}.rules", len(listed), RULES_MAX))
    completions = value.get("completions") or 0
    return causes + [c for i, rule in enumerate(listed) for c in _success_rule(rule, completions, f"{path}.rules[{i}]")]


def _success_rule(rule: Obj, completions: int, path: str) -> list[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        return [f.required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    causes: list[Cause] = []
    total, at = 0, f"{path}.succeededIndexes"
    if indexes is not None:
        causes += [f.too_long(at, INDEXES_BYTES_MAX)] if len(indexes) > INDEXES_BYTES_MAX else []
        try:
            total = job_indexes.count(indexes, completions)
        except ValueError as error:
            causes.append(f.invalid(at, indexes, f"error parsing succeededIndexes: {error}"))
    at = f"{path}.succeededCount"
    causes += f.non_negative(count, at)
    if count is not None and count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        causes.append(f.invalid(at, count, detail))
    if count is not None and indexes is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        causes.append(f.invalid(at, count, detail))
    return causes
