"""audit.k8s.io/v1 Policy: which requests are written down, and how much of each. Pure.

The first rule that fits decides; a request that none fits is not written. Stricter than Kubernetes in one thing: bodies of
Secrets and tokens are written only by a rule that names their resource; one that means everything leaves them at Metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from wherry.api.types import Obj
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.user import User

API_VERSION = "audit.k8s.io/v1"
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_SECRET = frozenset({("", "secrets"), ("", "serviceaccounts/token"), ("authentication.k8s.io", "tokenreviews")})
_POLICY_KEYS = {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_RULE_KEYS = {"level", "resources", "omitManagedFields", *_LISTS}


class PolicyError(ValueError):
    """The policy cannot be used; the text names the place."""


class Resources(Struct, frozen=True):
    group: str
    names: tuple[str, ...]
    objects: tuple[str, ...]

    def fits(self, a: Attributes) -> bool:
        if a.group != self.group or (self.objects and a.name not in self.objects):
            return False
        return not self.names or any(_resource_fits(name, a) for name in self.names)

    def names_exactly(self, a: Attributes) -> bool:
        return a.group == self.group and a.combined in self.names


class Rule(Struct, frozen=True):
    level: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def fits(self, user: User | None, a: Attributes) -> bool:
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or not set(self.groups) & set(user.groups)):
            return False
        if self.verbs and a.verb not in self.verbs:
            return False
        if self.resources or self.namespaces:
            return self._fits_resource(a)
        return not self.paths or (bool(a.path) and any(_path_fits(path, a.path) for path in self.paths))

    def _fits_resource(self, a: Attributes) -> bool:
        if a.path or (self.namespaces and a.namespace not in self.namespaces):
            return False
        return not self.resources or any(each.fits(a) for each in self.resources)

    def level_for(self, a: Attributes) -> str:
        secret = (a.group, a.combined) in _SECRET or (a.group, a.resource) == ("", "secrets")
        if secret and self.level in LEVELS[2:] and not any(each.names_exactly(a) for each in self.resources):
            return "Metadata"
        return self.level


_NOTHING = Rule("None")


class Policy(Struct, frozen=True):
    rules: tuple[Rule, ...]

    def rule(self, user: User | None, attributes: Attributes) -> Rule:
        return next((rule for rule in self.rules if rule.fits(user, attributes)), _NOTHING)


def _resource_fits(name: str, a: Attributes) -> bool:
    if name in ("*", a.combined):
        return True
    resource, _, subresource = name.partition("/")
    if not subresource or not a.subresource:
        return False
    return (resource == "*" and subresource == a.subresource) or (resource == a.resource and subresource == "*")


def _path_fits(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


# -- reading


def parse(obj: Any) -> Policy:
    """A Policy from its decoded file. Raises PolicyError."""
    if not isinstance(obj, dict) or (obj.get("apiVersion"), obj.get("kind")) != (API_VERSION, "Policy"):
        raise PolicyError(f"an audit policy is an object of apiVersion {API_VERSION} and kind Policy")
    _known(obj, _POLICY_KEYS, "")
    rules = obj.get("rules")
    if not isinstance(rules, list) or not rules:
        raise PolicyError("rules: a policy has at least one")
    stages, omit = _stages(obj, "omitStages"), _flag(obj, "omitManagedFields", "")
    return Policy(tuple(_rule(rule, f"rules[{i}]", stages, bool(omit)) for i, rule in enumerate(rules)))


def _rule(rule: Any, path: str, stages: frozenset[str], omit: bool) -> Rule:
    if not isinstance(rule, dict):
        raise PolicyError(f"{path}: a rule is an object")
    _known(rule, _RULE_KEYS, f"{path}.")
    if rule.get("level") not in LEVELS:
        raise PolicyError(f"{path}.level: choose one of {', '.join(LEVELS)}, not {rule.get('level')!r}")
    texts = {key: _texts(rule.get(key), f"{path}.{key}") for key in _LISTS}
    resources = tuple(
        _resources(each, f"{path}.resources[{i}]") for i, each in enumerate(_list(rule, "resources", path))
    )
    if texts["nonResourceURLs"] and (resources or texts["namespaces"]):
        raise PolicyError(f"{path}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")
    for url in texts["nonResourceURLs"]:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise PolicyError(f"{path}.nonResourceURLs: {url!r} must begin with '/', and '*' may only be its end")
    own = _flag(rule, "omitManagedFields", f"{path}.")
    return Rule(
        rule["level"],
        texts["users"],
        texts["userGroups"],
        texts["verbs"],
        resources,
        texts["namespaces"],
        texts["nonResourceURLs"],
        stages | _stages(rule, f"{path}.omitStages"),
        omit if own is None else own,
    )


def _resources(entry: Any, path: str) -> Resources:
    if not isinstance(entry, dict):
        raise PolicyError(f"{path}: group and resources of an object")
    _known(entry, {"group", "resources", "resourceNames"}, f"{path}.")
    group = entry.get("group") or ""
    if not isinstance(group, str) or "/" in group:
        raise PolicyError(f"{path}.group: the name of an API group without its version")
    names = _texts(entry.get("resources"), f"{path}.resources")
    objects = _texts(entry.get("resourceNames"), f"{path}.resourceNames")
    if objects and not names:
        raise PolicyError(f"{path}.resourceNames: using resourceNames requires at least one resource")
    return Resources(group, names, objects)


def _stages(obj: Obj, path: str) -> frozenset[str]:
    found = _texts(obj.get("omitStages"), path)
    for stage in found:
        if stage not in STAGES:
            raise PolicyError(f"{path}: choose of {', '.join(STAGES)}, not {stage!r}")
    return frozenset(found)


def _known(obj: Obj, keys: set[str], path: str) -> None:
    for key in obj:
        if key not in keys:
            raise PolicyError(f"{path}{key}: no such field")


def _flag(obj: Obj, key: str, path: str) -> bool | None:
    value = obj.get(key)
    if value is not None and not isinstance(value, bool):
        raise PolicyError(f"{path}{key}: true or false, not {value!r}")
    return value


def _list(obj: Obj, key: str, path: str) -> Sequence[Any]:
    value = obj.get(key) or []
    if not isinstance(value, list):
        raise PolicyError(f"{path}.{key}: a list")
    return value


def _texts(value: Any, path: str) -> tuple[str, ...]:
    value = value or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PolicyError(f"{path}: a list of strings")
    return tuple(value)
