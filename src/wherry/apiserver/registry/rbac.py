"""Roles and their bindings: what a rule must say, whom a binding may name, and that it never changes its role."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import PathNamed, fill, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors

GROUP = "rbac.authorization.k8s.io"


class RoleStrategy(PathNamed):
    """Role and ClusterRole."""

    allow_create_on_update = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        obj.setdefault("rules", None)

    def validate(self, obj: Obj) -> list[Cause]:
        namespaced = self.resource.namespaced
        causes: list[Cause] = []
        for i, rule in enumerate(f.as_list(obj.get("rules"))):
            causes += _rule(rule, namespaced, f"rules[{i}]")
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            path = "aggregationRule.clusterRoleSelectors"
            chosen = f.as_list(aggregation.get("clusterRoleSelectors"))
            if not chosen:
                detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
                causes.append(f.required(path, detail))
            for i, selector in enumerate(chosen):
                causes += selectors.label_selector(selector, f"{path}[{i}]")
        return causes


def _rule(rule: Obj, namespaced: bool, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not rule.get("verbs"):
        causes.append(f.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = f.as_list(rule.get("nonResourceURLs"))
    if urls:
        at = f"{path}.nonResourceURLs"
        if namespaced:
            causes.append(f.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(f.invalid(at, urls, detail))
        return causes
    if not rule.get("apiGroups"):
        causes.append(f.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        causes.append(f.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return causes


class BindingStrategy(PathNamed):
    """RoleBinding and ClusterRoleBinding."""

    allow_create_on_update = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        fill(section(obj, "roleRef"), apiGroup=GROUP)
        for subject in f.as_list(obj.get("subjects")):
            if subject.get("kind") in ("User", "Group"):
                fill(subject, apiGroup=GROUP)

    def validate(self, obj: Obj) -> list[Cause]:
        reference, namespaced = obj["roleRef"], self.resource.namespaced
        causes = f.one_of(reference.get("apiGroup"), "roleRef.apiGroup", (GROUP,), need=True)
        kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
        if reference.get("kind") not in kinds:
            causes.append(f.not_supported("roleRef.kind", reference.get("kind") or "", kinds))
        if not reference.get("name"):
            causes.append(f.required("roleRef.name"))
        else:
            causes += f.each_invalid("roleRef.name", reference["name"], names.path_segment(reference["name"]))
        for i, subject in enumerate(f.as_list(obj.get("subjects"))):
            causes += _subject(subject, namespaced, f"subjects[{i}]")
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        if obj["roleRef"] == old.get("roleRef"):
            return []
        reference = obj["roleRef"]
        shown = {key: reference.get(name) or "" for key, name in _GO_NAMES}
        return [f.invalid("roleRef", shown, "cannot change roleRef")]


_GO_NAMES = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))


def _subject(subject: Obj, namespaced: bool, path: str) -> list[Cause]:
    kind, name, group = (subject.get(key) or "" for key in ("kind", "name", "apiGroup"))
    causes = [] if name else [f.required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            causes += f.each_invalid(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            causes.append(f.not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(f.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            causes.append(f.not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        causes.append(f.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return causes
