"""Where a pod may run: tolerations, affinity, topology spread."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"


def tolerations(listed: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, toleration in enumerate(listed):
        causes += _toleration(toleration, f"{path}[{i}]")
    return causes


def _toleration(toleration: Obj, path: str) -> list[Cause]:
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    operator, effect = toleration.get("operator") or "", toleration.get("effect") or ""
    causes: list[Cause] = []
    if key:
        causes += f.qualified(key, f"{path}.key")
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(f.invalid(f"{path}.operator", operator, detail))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        causes.append(f.invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
    if operator in ("", "Equal"):
        problems = names.label_value(value)
        causes += [f.invalid(f"{path}.operator", value, ";".join(problems))] if problems else []
    elif operator == "Exists":
        if value:
            causes.append(f.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'"))
    else:
        causes.append(f.not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    return causes + f.one_of(effect, f"{path}.effect", EFFECTS)


def affinity(value: Obj | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for kind, rules in (value or {}).items():
        if rules is None:
            continue
        if kind == "nodeAffinity":
            causes += _node_affinity(rules, f"{path}.{kind}")
        elif kind in ("podAffinity", "podAntiAffinity"):
            causes += _pod_affinity(rules, f"{path}.{kind}")
    return causes


def _node_affinity(rules: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if rules.get(_REQUIRED) is not None:
        causes += selectors.node_selector(rules[_REQUIRED], f"{path}.{_REQUIRED}")
    for i, preferred in enumerate(f.as_list(rules.get(_PREFERRED))):
        at = f"{path}.{_PREFERRED}[{i}]"
        causes += _weight(preferred, at)
        causes += selectors.node_selector_term(f.as_dict(preferred.get("preference")), f"{at}.preference")
    return causes


def _pod_affinity(rules: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, term in enumerate(f.as_list(rules.get(_REQUIRED))):
        causes += _pod_affinity_term(term, f"{path}.{_REQUIRED}[{i}]")
    for i, preferred in enumerate(f.as_list(rules.get(_PREFERRED))):
        at = f"{path}.{_PREFERRED}[{i}]"
        causes += _weight(preferred, at)
        causes += _pod_affinity_term(f.as_dict(preferred.get("podAffinityTerm")), f"{at}.podAffinityTerm")
    return causes


def _weight(preferred: Obj, path: str) -> list[Cause]:
    weight = preferred.get("weight") or 0
    return [] if 1 <= weight <= 100 else [f.invalid(f"{path}.weight", weight, _WEIGHT)]


def _pod_affinity_term(term: Obj, path: str) -> list[Cause]:
    causes = selectors.label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    causes += selectors.label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    wanted, unwanted = f.as_list(term.get("matchLabelKeys")), f.as_list(term.get("mismatchLabelKeys"))
    causes += _label_keys(wanted, term.get("labelSelector"), f"{path}.matchLabelKeys")
    causes += _label_keys(unwanted, term.get("labelSelector"), f"{path}.mismatchLabelKeys")
    causes += _said_twice(wanted, term.get("labelSelector"), path)
    for i, key in enumerate(wanted):
        if key in unwanted:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            causes.append(f.invalid(f"{path}.matchLabelKeys[{i}]", key, detail))
    for name in f.as_list(term.get("namespaces")):
        causes += f.each_invalid(f"{path}.namespace", name, names.dns1123_label(name))
    key = term.get("topologyKey") or ""
    if not key:
        causes.append(f.required(f"{path}.topologyKey", "can not be empty"))
    return causes + f.qualified(key, f"{path}.topologyKey")


def _said_twice(wanted: list[str], selector: Obj | None, path: str) -> list[Cause]:
    """Keys of matchLabelKeys that a selector names by itself too: each of them is in there once for its own sake. Paths are
    Kubernetes', which leaves out the list's name."""
    places = {key: i for i, key in enumerate(wanted)}
    seen = set(f.as_dict(f.as_dict(selector).get("matchLabels")))
    causes: list[Cause] = []
    for expression in f.as_list(f.as_dict(selector).get("matchExpressions")):
        key = expression.get("key") or ""
        if key in places and key in seen:
            detail = "exists in both matchLabelKeys and labelSelector"
            causes.append(f.invalid(f"{path}[{places[key]}]", key, detail))
        seen.add(key)
    return causes


def topology_spread(constraints: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, constraint in enumerate(constraints):
        causes += _spread(constraint, f"{path}[{i}]")
        pair = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"))
        for other in constraints[i + 1 :]:
            if (other.get("topologyKey"), other.get("whenUnsatisfiable")) == pair:
                shown = "{" + ", ".join(str(part or "") for part in pair) + "}"
                causes.append(f.duplicate(f"{path}[{i}].{{topologyKey, whenUnsatisfiable}}", shown))
    return causes


def _spread(constraint: Obj, path: str) -> list[Cause]:
    skew = constraint.get("maxSkew") or 0
    key, when = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
    causes: list[Cause] = []
    if skew <= 0:
        causes.append(f.invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
    if not key:
        causes.append(f.required(f"{path}.topologyKey", "can not be empty"))
    if when not in ("DoNotSchedule", "ScheduleAnyway"):
        causes.append(f.not_supported(f"{path}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway")))
    domains = constraint.get("minDomains")
    if domains is not None:
        if domains <= 0:
            causes.append(f.invalid(f"{path}.minDomains", domains, "must be greater than zero"))
        if when != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            causes.append(f.invalid(f"{path}.minDomains", domains, detail))
    for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        causes += f.one_of(constraint.get(policy), f"{path}.{policy}", ("Honor", "Ignore"))
    selector, keys = constraint.get("labelSelector"), f.as_list(constraint.get("matchLabelKeys"))
    causes += _label_keys(keys, selector, f"{path}.matchLabelKeys")
    said = set(f.as_dict(f.as_dict(selector).get("matchLabels")))
    said |= {each.get("key") for each in f.as_list(f.as_dict(selector).get("matchExpressions"))}
    causes += [
        f.invalid(f"{path}.matchLabelKeys[{i}]", key, "exists in both matchLabelKeys and labelSelector")
        for i, key in enumerate(keys)
        if selector is not None and key in said
    ]
    return causes + selectors.label_selector(selector, f"{path}.labelSelector")


def _label_keys(keys: list[str], selector: Obj | None, path: str) -> list[Cause]:
    """Keys whose values are taken from the pod itself: only beside a selector they can narrow."""
    if keys and selector is None:
        return [f.forbidden(path, "must not be specified when labelSelector is not set")]
    return [cause for i, key in enumerate(keys) for cause in f.qualified(key, f"{path}[{i}]")]
