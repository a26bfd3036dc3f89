"""Profiles of a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): under which names we schedule, and how.

Each profile may leave out filters and scores, weigh scores, and pack nodes instead of spreading over them. What else a
configuration can say is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from wherry.api.types import Obj
from wherry.scheduler.framework import Filter, Score
from wherry.scheduler.plugins import node_resources

API_VERSION = "kubescheduler.config.k8s.io/v1"
PROFILES_MAX = 16
"""Each keeps rankings of its own."""
PLUGINS = frozenset({
    "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
    "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity",
    "NodeResourcesBalancedAllocation", "ImageLocality",
})  # fmt: skip
_POINTS = ("multiPoint", "filter", "score")


class ConfigError(ValueError):
    """The text names the field and what is wrong with it."""


class Profile(Struct, frozen=True):
    """`without`: plugins left out, by point (filter, score); `weights` of score plugins."""

    name: str = "default-scheduler"
    without: dict[str, frozenset[str]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    most_allocated: bool = False

    def filters(self, known: Sequence[Filter]) -> list[Filter]:
        return [one for one in known if one.name not in self.without.get("filter", ())]

    def scores(self, known: Sequence[Score]) -> list[Score]:
        packed = (node_resources.MOST_ALLOCATED if one is node_resources.LEAST_ALLOCATED else one for one in known)
        return [
            replace(one, weight=self.weights.get(one.name, one.weight))
            for one in (packed if self.most_allocated else known)
            if one.name not in self.without.get("score", ())
        ]


DEFAULT = (Profile(),)


def parse(config: Any) -> tuple[Profile, ...]:
    """The profiles of a configuration; without any the default one. Raises ConfigError."""
    if not isinstance(config, dict) or config.get("kind") != "KubeSchedulerConfiguration":
        raise ConfigError("kind: must be KubeSchedulerConfiguration")
    if config.get("apiVersion") != API_VERSION:
        raise ConfigError(f"apiVersion: must be {API_VERSION}")
    _only(config, ("apiVersion", "kind", "profiles"), "")
    entries = _list(config, "profiles", "")
    if len(entries) > PROFILES_MAX:
        raise ConfigError(f"profiles: must have at most {PROFILES_MAX} items")
    profiles = tuple(_profile(entry, f"profiles[{number}]") for number, entry in enumerate(entries))
    names = [one.name for one in profiles]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f'profiles[{number}].schedulerName: Duplicate value: "{name}"')
    return profiles or DEFAULT


def _profile(entry: Any, path: str) -> Profile:
    _only(entry, ("schedulerName", "plugins", "pluginConfig"), path)
    plugins = entry.get("plugins") or {}
    _only(plugins, _POINTS, f"{path}.plugins")
    without: dict[str, set[str]] = {"filter": set(), "score": set()}
    weights: dict[str, int] = {}
    for point in _POINTS:
        at = f"{path}.plugins.{point}"
        chosen = plugins.get(point) or {}
        _only(chosen, ("enabled", "disabled"), at)
        targets = ("filter", "score") if point == "multiPoint" else (point,)
        for number, one in enumerate(_list(chosen, "disabled", at)):
            names = PLUGINS if _name(one, f"{at}.disabled[{number}]", wild=True) == "*" else {one["name"]}
            for target in targets:
                without[target] |= names
        for number, one in enumerate(_list(chosen, "enabled", at)):
            name = _name(one, f"{at}.enabled[{number}]")
            for target in targets:
                without[target].discard(name)
            if one.get("weight"):
                weights[name] = one["weight"]
    name = entry.get("schedulerName") or "default-scheduler"
    kept = {point: frozenset(names) for point, names in without.items()}
    return Profile(name, kept, weights, _most_allocated(entry, path))


def _most_allocated(entry: Obj, path: str) -> bool:
    packs = False
    for number, one in enumerate(_list(entry, "pluginConfig", path)):
        at = f"{path}.pluginConfig[{number}]"
        _only(one, ("name", "args"), at)
        if one.get("name") != "NodeResourcesFit":
            raise ConfigError(
                f'{at}.name: Unsupported value: "{one.get("name")}": supported values: "NodeResourcesFit"'
            )
        args = one.get("args") or {}
        _only(args, ("apiVersion", "kind", "scoringStrategy"), f"{at}.args")
        strategy = args.get("scoringStrategy") or {}
        _only(strategy, ("type",), f"{at}.args.scoringStrategy")
        kind = strategy.get("type") or "LeastAllocated"
        if kind not in ("LeastAllocated", "MostAllocated"):
            known = 'supported values: "LeastAllocated", "MostAllocated"'
            raise ConfigError(f'{at}.args.scoringStrategy.type: Unsupported value: "{kind}": {known}')
        packs = kind == "MostAllocated"
    return packs


def _name(one: Any, path: str, *, wild: bool = False) -> str:
    _only(one, ("name", "weight"), path)
    name = one.get("name")
    if name not in PLUGINS and not (wild and name == "*"):
        raise ConfigError(f'{path}.name: Unsupported value: "{name}": supported values: {", ".join(sorted(PLUGINS))}')
    weight = one.get("weight", 0)
    if not isinstance(weight, int) or not 0 <= weight <= 100:
        raise ConfigError(f"{path}.weight: must be between 0 and 100")
    return str(name)


def _only(obj: Any, known: Sequence[str], path: str) -> None:
    if not isinstance(obj, dict):
        raise ConfigError(f"{path}: must be an object")
    for key in obj:
        if key not in known:
            raise ConfigError(f"{path}.{key}: is not supported".removeprefix("."))


def _list(obj: Obj, key: str, path: str) -> list[Any]:
    found = obj.get(key) or []
    if not isinstance(found, list):
        raise ConfigError(f"{path}.{key}: must be a list".removeprefix("."))
    return found
