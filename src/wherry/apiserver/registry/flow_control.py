"""FlowSchemas and PriorityLevelConfigurations: who waits in which queue when there is too much to do.

`limits.py` acts on them. Source: what Kubernetes documents of flowcontrol.apiserver.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.bootstrap.objects import mandatory_specs
from wherry.apiserver.bootstrap.repairs import MANDATORY
from wherry.apiserver.registry.built_in import fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form

PRECEDENCE_MAX = 10_000
QUEUES_MAX = 10_000_000
ENTROPY_BITS_MAX = 60
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


class FlowSchemaStrategy(Strategy):
    def default(self, obj: Obj) -> None:
        fill(obj.setdefault("spec", {}), matchingPrecedence=1000)

    def validate(self, obj: Obj) -> list[Cause]:
        spec, name = obj["spec"], obj["metadata"].get("name", "")
        precedence = spec["matchingPrecedence"]
        where = "spec.matchingPrecedence"
        causes: list[Cause] = []
        if precedence <= 0:
            causes.append(f.invalid(where, precedence, "must be a positive value"))
        if precedence > PRECEDENCE_MAX:
            causes.append(f.invalid(where, precedence, f"must not be greater than {PRECEDENCE_MAX}"))
        if precedence == 1 and name != "exempt":
            causes.append(f.invalid(where, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
            supported = ("ByNamespace", "ByUser")
            causes.append(f.not_supported("spec.distinguisherMethod", method.get("type", ""), supported))
        level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
        where = "spec.priorityLevelConfiguration.name"
        if level:
            causes += f.each_invalid(where, level, names.dns1123_subdomain(level))
        else:
            causes.append(f.required(where, "must reference a priority level"))
        for index, rule in enumerate(spec.get("rules") or []):
            causes += _rule(rule, f"spec.rules[{index}]")
        return causes + _fixed(obj, "FlowSchema", spec)


def _fixed(obj: Obj, kind: str, spec: Obj, but_for: str = "") -> list[Cause]:
    """The objects the server cannot do without are as they are."""
    name = obj["metadata"].get("name", "")
    if name not in MANDATORY or spec == mandatory_specs(kind)[name]:
        return []
    text = f"spec of '{name}' {but_for}must equal the fixed value"
    return [f.invalid("spec", internal_form.shown(obj["spec"], f"{kind}Spec"), text)]


def _rule(rule: Obj, where: str) -> list[Cause]:
    causes: list[Cause] = []
    if not rule.get("subjects"):
        causes.append(f.required(f"{where}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(rule.get("subjects") or []):
        causes += _subject(subject, f"{where}.subjects[{index}]")
    resource, other = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resource and not other:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        causes.append(f.required(where, text))
    for index, each in enumerate(resource):
        causes += _resource_rule(each, f"{where}.resourceRules[{index}]")
    for index, each in enumerate(other):
        place = f"{where}.nonResourceRules[{index}]"
        causes += _verbs(each, place)
        causes += _listed(each, place, "nonResourceURLs", "non-resource URLs", _url)
    return causes


def _subject(subject: Obj, where: str) -> list[Cause]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        return [f.not_supported(f"{where}.kind", kind, sorted(_SUBJECTS))]
    key = _SUBJECTS[kind]
    found = subject.get(key)
    causes: list[Cause] = []
    if found is None:
        causes.append(f.required(f"{where}.{key}", f"{key} is required when subject kind is '{kind}'"))
    elif not found.get("name"):
        causes.append(f.required(f"{where}.{key}.name"))
    elif kind == "ServiceAccount" and found["name"] != "*":
        causes += f.each_invalid(f"{where}.{key}.name", found["name"], names.dns1123_subdomain(found["name"]))
    if found is not None and kind == "ServiceAccount":
        namespace = found.get("namespace", "")
        if namespace:
            causes += f.each_invalid(f"{where}.{key}.namespace", namespace, names.dns1123_label(namespace))
        else:
            causes.append(f.required(f"{where}.{key}.namespace", "must specify namespace for service account"))
    for other, name in _SUBJECTS.items():
        if other != kind and subject.get(name) is not None:
            causes.append(f.forbidden(f"{where}.{name}", f"{name} is forbidden when subject kind is not '{other}'"))
    return causes


def _resource_rule(rule: Obj, where: str) -> list[Cause]:
    causes = _verbs(rule, where)
    causes += _listed(rule, where, "apiGroups", "api groups", None)
    causes += _listed(rule, where, "resources", "resources", None)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        causes.append(f.required(f"{where}.namespaces", text))
    elif "*" in namespaces:
        if len(namespaces) > 1:
            text = "if '*' is present, must not specify other namespaces"
            causes.append(f.invalid(f"{where}.namespaces", namespaces, text))
    else:
        for index, each in enumerate(namespaces):
            causes += f.each_invalid(f"{where}.namespaces[{index}]", each, names.dns1123_label(each))
    return causes


def _verbs(rule: Obj, where: str) -> list[Cause]:
    verbs = rule.get("verbs") or []
    causes = _listed(rule, where, "verbs", "verbs", None)
    if verbs and "*" not in verbs and not set(verbs) <= set(_VERBS):
        causes.append(f.not_supported(f"{where}.verbs", verbs, _VERBS))
    return causes


def _listed(rule: Obj, where: str, key: str, what: str, check: Callable[[str], Iterable[str]] | None) -> list[Cause]:
    """A list that is not empty and has `*` alone or not at all."""
    values = rule.get(key) or []
    if not values:
        return [f.required(f"{where}.{key}", f"{key} must contain at least one value")]
    if "*" in values:
        text = f"if '*' is present, must not specify other {what}"
        return [f.invalid(f"{where}.{key}", values, text)] if len(values) > 1 else []
    causes: list[Cause] = []
    for index, each in enumerate(values if check is not None else ()):
        assert check is not None
        causes += f.each_invalid(f"{where}.{key}[{index}]", each, check(each))
    return causes


def _url(path: str) -> list[str]:
    if not path:
        return ["must not be empty"]
    problems = [] if path.startswith("/") else ["must start with slash"]
    if " " in path:
        problems.append("must not contain white-space")
    if "//" in path:
        problems.append("must not contain double slash")
    wildcards = path.count("*")
    if wildcards > 1 or (wildcards == 1 and not path.endswith("/*")):
        problems.append("wildcard can only do suffix matching")
    return problems


# -- priority levels


class PriorityLevelConfigurationStrategy(Strategy):
    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        limited, exempt = spec.get("limited"), spec.get("exempt")
        if limited is not None:
            fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                fill(queuing, queues=64, handSize=8, queueLengthLimit=50)
        if exempt is not None:
            fill(exempt, nominalConcurrencyShares=0, lendablePercent=0)

    def validate(self, obj: Obj) -> list[Cause]:
        spec, name = obj["spec"], obj["metadata"].get("name", "")
        but_for = ""
        if name == "exempt":
            but_for = "except the 'spec.exempt' field "
            spec = {**spec, "exempt": mandatory_specs(self.resource.kind)[name]["exempt"]}
        return self._spec(obj["spec"], name) + _fixed(obj, self.resource.kind, spec, but_for)

    def _spec(self, spec: Obj, name: str) -> list[Cause]:
        kind, limited = spec.get("type", ""), spec.get("limited")
        if kind not in ("Exempt", "Limited"):
            return [f.not_supported("spec.type", kind, ("Exempt", "Limited"))]
        causes: list[Cause] = []
        if (name == "exempt") != (kind == "Exempt"):
            text = "type must be 'Exempt' if and only if `name` is 'exempt'"
            causes.append(f.invalid("spec.type", kind, text))
        if kind == "Exempt":
            if limited is not None:
                causes.append(f.forbidden("spec.limited", "must be nil if the type is not Limited"))
            return causes + (_shares(spec["exempt"], "spec.exempt") if spec.get("exempt") else [])
        if spec.get("exempt") is not None:
            causes.append(f.forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            return [*causes, f.required("spec.limited", "must not be empty when type is Limited")]
        return causes + _shares(limited, "spec.limited") + _response(limited)


def _shares(part: Obj, where: str) -> list[Cause]:
    causes: list[Cause] = []
    shares, lendable, borrowing = (
        part.get(key) for key in ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent")
    )
    if shares is not None and shares < 0:
        causes.append(f.invalid(f"{where}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        causes.append(f.invalid(f"{where}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        causes.append(f.invalid(f"{where}.borrowingLimitPercent", borrowing, text))
    return causes


def _response(limited: Obj) -> list[Cause]:
    response = limited.get("limitResponse") or {}
    kind, queuing, where = response.get("type", ""), response.get("queuing"), "spec.limited.limitResponse"
    if kind == "Reject":
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [f.forbidden(f"{where}.queuing", text)] if queuing is not None else []
    if kind != "Queue":
        return [f.not_supported(f"{where}.type", kind, ("Queue", "Reject"))]
    if queuing is None:
        return [f.required(f"{where}.queuing", "must not be empty if limited.limitResponse.type is Limited")]
    return _queuing(queuing, f"{where}.queuing")


def _queuing(queuing: Obj, where: str) -> list[Cause]:
    length, queues, hand = queuing["queueLengthLimit"], queuing["queues"], queuing["handSize"]
    causes: list[Cause] = []
    if length <= 0:
        causes.append(f.invalid(f"{where}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        causes.append(f.invalid(f"{where}.queues", queues, "must be positive"))
    elif queues > QUEUES_MAX:
        causes.append(f.invalid(f"{where}.queues", queues, f"must not be greater than {QUEUES_MAX}"))
    if hand <= 0:
        causes.append(f.invalid(f"{where}.handSize", hand, "must be positive"))
    elif hand > queues:
        causes.append(f.invalid(f"{where}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif entropy_bits(queues, hand) > ENTROPY_BITS_MAX:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {ENTROPY_BITS_MAX}"
        causes.append(f.invalid(f"{where}.handSize", hand, text))
    return causes


def entropy_bits(deck: int, hand: int) -> int:
    """How many bits of hash it takes to deal `hand` different cards of `deck`."""
    cards = 1
    for left in range(deck, deck - hand, -1):
        cards *= left
        if cards.bit_length() > 128:
            break  # far beyond what is allowed: the number itself no longer matters
    return (cards - 1).bit_length()
