"""StorageClasses and VolumeAttributesClasses: how volumes are made, and what of them may be changed later."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

PARAMETERS_MAX = 512
PARAMETERS_BYTES_MAX = 256 * 1024
_FOR_LIFE = ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")


class StorageClassStrategy(Strategy):
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate(self, obj: Obj) -> list[Cause]:
        causes = _provisioner(obj.get("provisioner") or "", "provisioner")
        causes += _parameters(f.as_dict(obj.get("parameters")), allow_empty=True)
        causes += f.one_of(obj.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"))
        modes = ("Immediate", "WaitForFirstConsumer")
        causes += f.one_of(obj.get("volumeBindingMode"), "volumeBindingMode", modes)
        return causes + _topologies(f.as_list(obj.get("allowedTopologies")), "allowedTopologies")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return [cause for key in _FOR_LIFE for cause in f.unchanged(obj.get(key), old.get(key), key)]


class VolumeAttributesClassStrategy(Strategy):
    returns_deleted = True

    def validate(self, obj: Obj) -> list[Cause]:
        causes = _provisioner(obj.get("driverName") or "", "driverName")
        return causes + _parameters(f.as_dict(obj.get("parameters")), allow_empty=False)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        keys = ("driverName", "parameters")
        return [cause for key in keys for cause in f.unchanged(obj.get(key), old.get(key), key)]


def _provisioner(name: str, path: str) -> list[Cause]:
    return f.qualified(name.lower(), path) if name else [f.required(path)]


def _parameters(parameters: Obj, allow_empty: bool) -> list[Cause]:
    if not allow_empty and not parameters:
        return [f.required("parameters", "must contain at least one key/value pair")]
    if len(parameters) > PARAMETERS_MAX:
        return [f.too_long("parameters", PARAMETERS_MAX)]
    causes = [f.invalid("parameters", "", "field can not be empty.")] if "" in parameters else []
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > PARAMETERS_BYTES_MAX:
        causes.append(f.too_long("parameters", PARAMETERS_BYTES_MAX))
    return causes


def _topologies(terms: list[Obj], path: str) -> list[Cause]:
    """Topology terms: every key once per term, every value once per key, no two terms that say the same."""
    causes: list[Cause] = []
    said: list[dict[str, set[str]]] = [{} for _ in terms]  # Kubernetes compares with as many empty terms
    for i, term in enumerate(terms):
        keys: dict[str, set[str]] = {}
        for k, expression in enumerate(f.as_list(term.get("matchLabelExpressions"))):
            causes += _expression(expression, keys, f"{path}[{i}].matchLabelExpressions[{k}]")
        causes += [f.duplicate(f"{path}[{i}].matchLabelExpressions", "")] * said.count(keys)
        said.append(keys)
    return causes


def _expression(expression: Obj, keys: dict[str, set[str]], path: str) -> list[Cause]:
    key, values = expression.get("key") or "", f.as_list(expression.get("values"))
    causes: list[Cause] = [] if values else [f.required(f"{path}.values")]
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            causes.append(f.duplicate(f"{path}.values[{i}]", value))
        seen.add(value)
    causes += f.qualified(key, f"{path}.key")
    if key in keys:
        causes.append(f.duplicate(f"{path}.key", key))
    keys[key] = seen
    return causes
