"""ResourceQuotas: bounds for a namespace in all."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.pod_defaults import canonical_list
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form, resources

SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_NEED_EXISTS = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_ONLY_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_POD_RESOURCES = {
    *("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"),
}
_QUOTA_RESOURCES = {
    *_POD_RESOURCES,
    *("ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage"),
    *("services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"),
    *("requests.storage", "services.nodeports", "services.loadbalancers"),
}


class ResourceQuotaStrategy(BuiltIn):
    has_generation = False
    returns_deleted = True
    empty_status = {}  # noqa: RUF012 - a constant

    def default(self, obj: Obj) -> None:
        super().default(obj)
        for part in (obj["spec"], f.as_dict(obj.get("status"))):
            for key in ("hard", "used"):
                if part.get(key):
                    part[key] = canonical_list(part[key])

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        hard = f.as_dict(spec.get("hard"))
        causes = _amounts(hard, "spec.hard")
        scopes = f.as_list(spec.get("scopes"))
        for scope in scopes:
            causes += [] if scope in SCOPES else [f.invalid("spec.scopes", scopes, "unsupported scope")]
            causes += _misplaced(scope, hard, scopes, "spec.scopes")
        return causes + _conflicts(scopes, scopes, "spec.scopes") + _selector(spec, hard)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        if sorted(f.as_list(obj["spec"].get("scopes"))) == sorted(f.as_list(old["spec"].get("scopes"))):
            return []
        return [f.invalid("spec.scopes", f.as_list(obj["spec"].get("scopes")), f.IMMUTABLE)]

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        return [c for key in ("hard", "used") for c in _amounts(f.as_dict(status.get(key)), f"status.{key}")]


def _amounts(amounts: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, value in amounts.items():
        at = f"{path}[{name}]"
        causes += resources.resource_name(name, at)
        if "/" not in name and not _is_standard(name):
            causes.append(f.invalid(at, name, "must be a standard resource for quota"))
        causes += resources.quantity(name, value, at)
    return causes


def _is_standard(name: str) -> bool:
    return name in _QUOTA_RESOURCES or name.startswith(("hugepages-", "requests.hugepages-"))


def _misplaced(scope: str, hard: Obj, shown: object, path: str) -> list[Cause]:
    """A scope that says nothing about a resource it is put on."""
    return [
        f.invalid(path, shown, "unsupported scope applied to resource")
        for name in hard
        if _is_standard(name) and not _scope_counts(scope, name)
    ]


def _conflicts(scopes: list[str], shown: list[str], path: str) -> list[Cause]:
    conflicts = [pair for pair in _OPPOSITES if set(pair) <= set(scopes)]
    return [f.invalid(path, shown or None, "conflicting scopes") for _ in conflicts]


def _selector(spec: Obj, hard: Obj) -> list[Cause]:
    selector, path = spec.get("scopeSelector"), "spec.scopeSelector.matchExpressions"
    expressions = f.as_list(f.as_dict(selector).get("matchExpressions"))
    causes: list[Cause] = []
    for each in expressions:
        scope, operator = each.get("scopeName") or "", each.get("operator") or ""
        if scope not in SCOPES:
            causes.append(f.invalid(f"{path}.scopeName", scope, "unsupported scope"))
        causes += _misplaced(scope, hard, internal_form.shown(f.as_dict(selector), "ScopeSelector"), path)
        if scope in _NEED_EXISTS and operator != "Exists":
            causes.append(f.invalid(f"{path}.operator", operator, _ONLY_EXISTS))
        causes += _expression(each, path)
    named = [each.get("scopeName") or "" for each in expressions]
    return causes + _conflicts(named, f.as_list(spec.get("scopes")), path)


def _scope_counts(scope: str, name: str) -> bool:
    """Whether a scope says anything about a resource."""
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return name in _POD_RESOURCES or scope not in SCOPES


def _expression(expression: Obj, path: str) -> list[Cause]:
    operator, values = expression.get("operator") or "", f.as_list(expression.get("values"))
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            return [f.required(f"{path}.values", detail)]
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            return [f.invalid(f"{path}.values", values, detail)]
    else:
        return [f.invalid(f"{path}.operator", operator, "not a valid selector operator")]
    return []
