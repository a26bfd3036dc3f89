"""Whether a webhook or a policy is about a request: rules, matchPolicy, namespaceSelector, objectSelector.

Pure but for the labels of the request's namespace. Semantics: Kubernetes' "Dynamic Admission Control", "Matching requests".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from wherry.api.labels import Selector
from wherry.api.resources import NAMESPACES
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form, equivalents, form_in, own_form
from wherry.apiserver.admission.request import AdmissionRequest

GROUP = "admissionregistration.k8s.io"


class Rule(Struct, frozen=True):
    """Operations on resources; "*" is everything. `names`: empty for all (policies only)."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]

    @classmethod
    def of(cls, rule: Obj) -> Rule:
        """From RuleWithOperations or NamedRuleWithOperations."""
        pairs = tuple((each.partition("/")[0], each.partition("/")[2]) for each in rule.get("resources") or ())
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            pairs,
            rule.get("scope") or "*",
            frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, request: AdmissionRequest, resource: Resource) -> bool:
        """Whether it is about the request, taken as one on `resource`."""
        return (
            _in(self.operations, request.operation)
            and _in(self.groups, resource.group)
            and _in(self.versions, resource.version)
            and any(
                whole in ("*", resource.resource) and part in ("*", request.subresource)
                for whole, part in self.resources
            )
            and (self.scope == "*" or (self.scope == "Namespaced") == resource.namespaced)
            and (not self.names or request.name in self.names)
        )

    def speaks_of(self, resource: str, subresource: str, operation: str) -> bool:
        """Whether it may be about it, leaving groups and versions aside."""
        return _in(self.operations, operation) and any(
            whole in ("*", resource) and part in ("*", subresource) for whole, part in self.resources
        )


def _in(wanted: frozenset[str], value: str) -> bool:
    return value in wanted or "*" in wanted


class Criteria(Struct, frozen=True):
    """What a webhook, or matchConstraints and matchResources of policies, say together."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...]
    everything: bool
    """No rules mean all resources: MatchResources of a binding."""
    equivalent: bool
    namespaces: Selector
    objects: Selector

    @classmethod
    def of(cls, holder: Obj, rules: str = "rules") -> Criteria:
        """From a Webhook, or (`rules="resourceRules"`) from MatchResources."""
        return cls(
            tuple(map(Rule.of, holder.get(rules) or ())),
            tuple(map(Rule.of, holder.get("excludeResourceRules") or ())),
            rules == "resourceRules" and not holder.get(rules),
            (holder.get("matchPolicy") or "Equivalent") == "Equivalent",
            Selector.from_object(holder.get("namespaceSelector") or {}),
            Selector.from_object(holder.get("objectSelector") or {}),
        )

    def form(self, request: AdmissionRequest) -> Form | None:
        """The version in which whoever holds this wants to see the request; None when it is not concerned."""
        resource = _asked(request) if self.everything else self._resource(request, self.rules)
        if resource is None or (self.excluded and self._resource(request, self.excluded) is not None):
            return None
        return self.in_form(request, own_form(request) if resource == _asked(request) else form_in(request, resource))

    def in_form(self, request: AdmissionRequest, form: Form) -> Form | None:
        """`form` when both selectors match."""
        if not self.namespaces.is_empty() and not self._namespace(request):
            return None
        if not self.objects.is_empty() and not self._object(request, form):
            return None
        return form

    def _resource(self, request: AdmissionRequest, rules: Iterable[Rule]) -> Resource | None:
        asked = _asked(request)
        if any(rule.matches(request, asked) for rule in rules):
            return asked
        if not self.equivalent or request.world is None:
            return None
        others: list[Resource] | None = None
        for rule in rules:
            if not rule.speaks_of(asked.resource, request.subresource, request.operation):
                continue
            if others is None:
                others = [each for each in equivalents(request.world, request.resource) if each.gvr != asked.gvr]
            for resource in others:
                if rule.matches(request, resource):
                    return resource
        return None

    def _namespace(self, request: AdmissionRequest) -> bool:
        """Cluster-wide objects are never exempt; a Namespace is judged by its own labels."""
        if is_namespace(request):
            own = request.object or request.old_object or {}
            labels: Mapping[str, str] | None = (own.get("metadata") or {}).get("labels")
            return self.namespaces.matches(labels)
        if not request.namespace:
            return True
        found = request.context.read.get(NAMESPACES, request.namespace)
        return found is not None and self.namespaces.matches(found["metadata"].get("labels"))

    def _object(self, request: AdmissionRequest, form: Form) -> bool:
        shown = (form.shown(each) for each in (request.object, request.old_object))
        return any(
            each is not None and "metadata" in each and self.objects.matches((each["metadata"] or {}).get("labels"))
            for each in shown
        )


def _asked(request: AdmissionRequest) -> Resource:
    return request.served or request.resource


def is_namespace(request: AdmissionRequest) -> bool:
    return request.resource.resource == "namespaces" and not request.resource.group


def is_exempt(resource: Resource) -> bool:
    """What decides about admission is not subject to webhooks, so that a mistake can always be taken back."""
    return resource.group == GROUP


def is_policy(resource: Resource) -> bool:
    """Policies and their bindings are not subject to policies."""
    return resource.group == GROUP and "policy" in resource.singular
