"""MutatingWebhookConfigurations and ValidatingWebhookConfigurations: who is asked about which writes.

Defaults and rules only; `apiserver/admission/webhooks` does the asking.
"""

from __future__ import annotations

from typing import ClassVar

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import admission_rules as rules
from wherry.apiserver.registry.validation import expressions, webhook_client
from wherry.apiserver.registry.validation import field as f

REVIEW_VERSIONS = ("v1", "v1beta1")
"""Versions of AdmissionReview that are spoken here, the preferred one first."""
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATION = ("IfNeeded", "Never")
TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX = 10, 30


class ValidatingWebhookConfigurationStrategy(Strategy):
    may_be_heavy = True
    allow_unconditional_update = False
    has_generation = True
    mutating: ClassVar[bool] = False

    def default(self, obj: Obj) -> None:
        for hook in f.as_list(obj.get("webhooks")):
            fill(hook, failurePolicy="Fail", timeoutSeconds=TIMEOUT_SECONDS)
            if self.mutating:
                fill(hook, reinvocationPolicy="Never")
            rules.default_matching(hook, "rules")
            if hook.get("clientConfig"):
                webhook_client.default_port(hook["clientConfig"])

    def validate(self, obj: Obj) -> list[Cause]:
        causes: list[Cause] = []
        seen: set[str] = set()
        for i, hook in enumerate(f.as_list(obj.get("webhooks"))):
            at, name = f"webhooks[{i}]", hook.get("name") or ""
            causes += self._hook(hook, at)
            if name and name in seen:
                causes.append(f.duplicate(f"{at}.name", name))
            seen.add(name)
        return causes

    def _hook(self, hook: Obj, at: str) -> list[Cause]:
        causes = _name(hook.get("name") or "", f"{at}.name")
        for i, rule in enumerate(f.as_list(hook.get("rules"))):
            causes += rules.rule_with_operations(rule, f"{at}.rules[{i}]")
        causes += rules.failure_policy(hook, at)
        causes += rules.matching(hook, at)
        causes += _side_effects(hook.get("sideEffects"), f"{at}.sideEffects")
        policy = hook.get("reinvocationPolicy")
        if self.mutating and policy not in REINVOCATION:
            causes.append(f.not_supported(f"{at}.reinvocationPolicy", policy, REINVOCATION))
        seconds = hook["timeoutSeconds"]
        if not 1 <= seconds <= TIMEOUT_SECONDS_MAX:
            text = f"the timeout value must be between 1 and {TIMEOUT_SECONDS_MAX} seconds"
            causes.append(f.invalid(f"{at}.timeoutSeconds", seconds, text))
        causes += webhook_client.client_config(f.as_dict(hook.get("clientConfig")), f"{at}.clientConfig")
        conditions = f.as_list(hook.get("matchConditions"))
        causes += rules.match_conditions(conditions, f"{at}.matchConditions", expressions.match_condition)
        return causes + _review_versions(
            f.as_list(hook.get("admissionReviewVersions")), f"{at}.admissionReviewVersions"
        )


class MutatingWebhookConfigurationStrategy(ValidatingWebhookConfigurationStrategy):
    allow_unconditional_update = False
    mutating = True


def _name(name: str, path: str) -> list[Cause]:
    """A domain of three segments or more."""
    if not name:
        return [f.required(path)]
    problems = names.dns1123_subdomain(name)
    if problems:
        return [f.invalid(path, name, ",".join(problems))]
    if name.count(".") < 2:
        return [f.invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def _side_effects(value: str | None, path: str) -> list[Cause]:
    if value is None:
        return [f.required(path, f"must specify one of {', '.join(SIDE_EFFECTS)}")]
    return [] if value in SIDE_EFFECTS else [f.not_supported(path, value, SIDE_EFFECTS)]


def _review_versions(versions: list[str], path: str) -> list[Cause]:
    known = ", ".join(REVIEW_VERSIONS)
    if not versions:
        return [f.required(path, f"must specify one of {known}")]
    causes: list[Cause] = []
    for i, version in enumerate(versions):
        if version in versions[:i]:
            causes.append(f.invalid(f"{path}[{i}]", version, "duplicate version"))
        else:
            causes += f.each_invalid(f"{path}[{i}]", version, names.dns1035_label(version))
    if not set(versions) & set(REVIEW_VERSIONS):
        causes.append(f.invalid(path, versions, f"must include at least one of {known}"))
    return causes
