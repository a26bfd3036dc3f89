"""ValidatingAdmissionPolicies and MutatingAdmissionPolicies with their bindings: defaults and rules.

`apiserver/admission/policies` enforces them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.validation import admission_policy as policy
from wherry.apiserver.registry.validation import admission_rules as rules
from wherry.apiserver.registry.validation import expressions
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.conditions import conditions

if TYPE_CHECKING:
    from wherry.cel import Environment

ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
REINVOCATION = ("IfNeeded", "Never")
PATCH_TYPES = {"ApplyConfiguration": ("applyConfiguration", "Object"), "JSONPatch": ("jsonPatch", "list(JSONPatch)")}
"""patchType -> the field that belongs to it, the type its expression gives."""
ANNOTATIONS_MAX, ANNOTATION_BYTES_MAX = 20, 5 * 1024
_SOMETHING = "validations or auditAnnotations must be non-empty"
_BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers "
    "serves no purpose)"
)


class _Policy(BuiltIn):
    """What both kinds of policies say."""

    may_be_heavy = True
    has_generation = True
    allow_unconditional_update = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        fill(obj["spec"], failurePolicy="Fail")
        constraints = obj["spec"].get("matchConstraints")
        if constraints is not None:
            _default_resources(constraints)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = rules.failure_policy(spec, "spec")
        causes += policy.param_kind(spec.get("paramKind"), "spec.paramKind")
        causes += policy.match_constraints(spec.get("matchConstraints"), "spec.matchConstraints")
        causes += policy.match_conditions(spec, "spec.matchConditions")
        return causes + policy.variables(spec, "spec.variables")


class ValidatingAdmissionPolicyStrategy(_Policy):
    empty_status = {}  # noqa: RUF012 - copied for each object

    def validate(self, obj: Obj) -> list[Cause]:
        spec, causes = obj["spec"], super().validate(obj)
        validations, annotations = f.as_list(spec.get("validations")), f.as_list(spec.get("auditAnnotations"))
        if not validations and not annotations:
            return [
                *causes,
                f.required("spec.validations", _SOMETHING),
                f.required("spec.auditAnnotations", _SOMETHING),
            ]
        where = policy.environment_of(spec)
        for i, validation in enumerate(validations):
            causes += _validation(validation, f"spec.validations[{i}]", where)
        return causes + _annotations(annotations, "spec.auditAnnotations", where, obj["metadata"].get("name") or "")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return conditions(f.as_list(f.as_dict(obj.get("status")).get("conditions")), "status.conditions")


class MutatingAdmissionPolicyStrategy(_Policy):
    def validate(self, obj: Obj) -> list[Cause]:
        spec, causes = obj["spec"], super().validate(obj)
        mutations = f.as_list(spec.get("mutations"))
        if not mutations:
            causes.append(f.required("spec.mutations", "mutations must contain at least one item"))
        else:
            where = policy.environment_of(spec)
            for i, mutation in enumerate(mutations):
                causes += _mutation(mutation, f"spec.mutations[{i}]", where)
        return causes + f.one_of(spec.get("reinvocationPolicy"), "spec.reinvocationPolicy", REINVOCATION, need=True)


class MutatingAdmissionPolicyBindingStrategy(BuiltIn):
    has_generation = True
    allow_unconditional_update = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        resources = obj["spec"].get("matchResources")
        if resources is not None:
            _default_resources(resources)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = policy.policy_name(spec.get("policyName") or "", "spec.policyName")
        causes += policy.param_ref(spec.get("paramRef"), "spec.paramRef")
        return causes + policy.match_resources(spec.get("matchResources"), "spec.matchResources")


class ValidatingAdmissionPolicyBindingStrategy(MutatingAdmissionPolicyBindingStrategy):
    def validate(self, obj: Obj) -> list[Cause]:
        return super().validate(obj) + _actions(
            f.as_list(obj["spec"].get("validationActions")), "spec.validationActions"
        )


def _default_resources(resources: Obj) -> None:
    rules.default_matching(resources, "resourceRules")
    for rule in f.as_list(resources.get("excludeResourceRules")):
        fill(rule, scope="*")


def _validation(validation: Obj, path: str, where: Environment) -> list[Cause]:
    expression, message = validation.get("expression") or "", validation.get("message") or ""
    causes = policy.needed(expression, f"{path}.expression", where, "bool")
    spoken = validation.get("messageExpression") or ""
    if spoken and not spoken.strip():
        causes.append(f.invalid(f"{path}.messageExpression", spoken, "must be non-empty if specified"))
    elif spoken:
        causes += expressions.compiled(spoken, f"{path}.messageExpression", where, "string")
    text = message.strip()
    if message and not text:
        causes.append(f.invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in text:
        causes.append(f.invalid(f"{path}.message", message, "message must not contain line breaks"))
    elif "\n" in expression.strip() and not text:
        causes.append(f.required(f"{path}.message", "message must be specified if expression contains line breaks"))
    reason = validation.get("reason")
    if reason is not None and reason not in REASONS:
        causes.append(f.not_supported(f"{path}.reason", reason, REASONS))
    return causes


def _annotations(annotations: list[Obj], path: str, where: Environment, name: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(annotations) > ANNOTATIONS_MAX:
        causes.append(f.invalid(path, annotations, f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"))
    keys: set[str] = set()
    for i, annotation in enumerate(annotations):
        at, key, expression = f"{path}[{i}]", annotation.get("key") or "", annotation.get("valueExpression") or ""
        causes += f.each_invalid(f"{at}.key", f"{name}/{key}", names.qualified_name(f"{name}/{key}"))
        at = f"{at}.valueExpression"
        if len(expression.strip()) > ANNOTATION_BYTES_MAX:
            causes.append(f.required(at, f"must not exceed {ANNOTATION_BYTES_MAX} bytes in length"))
        else:
            text = "valueExpression is not specified"
            causes += policy.needed(expression, at, where, "string", "null", "null_type", missing=text)
        if key in keys:
            causes.append(f.duplicate(f"{path}[{i}].key", key))
        keys.add(key)
    return causes


def _mutation(mutation: Obj, path: str, where: Environment) -> list[Cause]:
    kind = mutation.get("patchType") or ""
    causes = f.one_of(kind, f"{path}.patchType", tuple(PATCH_TYPES), need=True)
    for each, (key, result) in PATCH_TYPES.items():
        said = mutation.get(key)
        if each == kind and said is None:
            causes.append(f.required(f"{path}.{key}", f"must be specified when patchType is {kind}"))
        elif each == kind:
            causes += policy.needed(f.as_dict(said).get("expression"), f"{path}.{key}.expression", where, result)
        elif said is not None and kind in PATCH_TYPES:
            causes.append(f.invalid(f"{path}.{key}", said, f"must not be specified when patchType is {kind}"))
    return causes


def _actions(actions: list[str], path: str) -> list[Cause]:
    if not actions:
        return [f.required(path, "at least one validation action is required")]
    causes: list[Cause] = []
    for i, action in enumerate(actions):
        if action not in ACTIONS:
            causes.append(f.not_supported(f"{path}[{i}]", action, ACTIONS))
        if action in actions[:i]:
            causes.append(f.duplicate(f"{path}[{i}]", action))
    if "Deny" in actions and "Warn" in actions:
        causes.append(f.invalid(path, actions, _BOTH))
    return causes
