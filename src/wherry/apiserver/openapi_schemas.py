"""The catalogue's definitions as OpenAPI schemas, version 2 and version 3 style.

Version 3 puts a reference with a description beside it into `allOf` and says defaults; version 2 has neither. Descriptions
make `kubectl explain` work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.apiserver.openapi_enums import ENUMS

V2: Final = "#/definitions/"
V3: Final = "#/components/schemas/"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_WHOLE: Final = ("metadata", "spec", "status")  # never missing from an object as the server holds it
_TOLD: Final = {
    _INT_OR_STRING: "A number, or a string that may be a percentage or a name.",
    _QUANTITY: "An amount of a resource: a number with an optional decimal or binary suffix, such as 500m or 1Gi.",
}


class Schemas:
    """Schemas of one scheme in one style."""

    def __init__(self, scheme: Scheme, prefix: str, defined: Mapping[str, Obj] = MappingProxyType({})) -> None:
        """`defined`: schemas that are in this style already."""
        self._defined = defined
        self._nodes = scheme.definitions.names()
        self._descriptions = scheme.prose.descriptions
        self._defaults = scheme.prose.defaults
        self._prefix = prefix

    def is_defined(self, name: str) -> bool:
        """Whether it is not built in."""
        return name in self._defined

    def reachable(self, names: Iterable[str]) -> list[str]:
        """The definitions that these, and what they are made of, refer to; sorted."""
        found: set[str] = set()
        todo = [name for name in names if name in self._nodes or name in self._defined]
        while todo:
            name = todo.pop()
            if name in found:
                continue
            found.add(name)
            if name in self._defined:
                todo += [each.removeprefix(self._prefix) for each in _references(self._defined[name], "$ref")]
            else:
                todo += _references(self._nodes[name])
        return sorted(found)

    def reference(self, name: str) -> Obj:
        return {"$ref": self._prefix + name}

    def schema(self, name: str) -> Obj:
        """One definition."""
        if name in self._defined:
            return self._defined[name]
        (text, fields) = self._descriptions.get(name, ("", {}))
        if name in _TOLD:
            return {"description": _TOLD[name], **self._special(name)}
        node = self._nodes[name]
        result: Obj = {"description": text} if text else {}
        for key, value in node.items():
            if key == "properties":
                facts = self._facts(name, node)
                result[key] = {
                    field: self._field(child, fields.get(field, ""), facts, field) for field, child in value.items()
                }
            else:
                result[key] = value
        return result

    def _special(self, name: str) -> Obj:
        """Values that are of two types: version 2 cannot say so."""
        if name == _QUANTITY:
            return {"oneOf": [{"type": "string"}, {"type": "number"}]} if self._prefix == V3 else {"type": "string"}
        if self._prefix == V3:
            return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
        return {"format": "int-or-string", "type": "string"}

    def _facts(self, name: str, node: Obj) -> dict[str, Obj]:
        """What version 3 says of fields beyond the definition: defaults and the words they may be."""
        if self._prefix == V2:
            return {}
        facts: dict[str, Obj] = {}
        if "x-kubernetes-group-version-kind" in node:
            facts = {field: {"default": {}} for field in _WHOLE if "ref" in node["properties"].get(field, {})}
        for field, default in self._defaults.get(name, {}).items():
            facts.setdefault(field, {})["default"] = default
        for field, words in ENUMS.get(name, {}).items():
            facts.setdefault(field, {})["enum"] = words
        return facts

    def _field(self, node: Obj, text: str, facts: dict[str, Obj], field: str) -> Obj:
        result: Obj = {"description": text} if text else {}
        result |= facts.get(field, {})
        for key, value in node.items():
            if key == "ref":
                continue
            if key in ("items", "additionalProperties") and isinstance(value, dict):
                result[key] = self._field(value, "", facts, f"{field}[]")
            else:
                result[key] = value
        if "ref" not in node:
            return result
        reference = self.reference(node["ref"])
        if self._prefix == V2 or not result:
            return {**result, **reference}
        return {**result, "allOf": [reference]}


def _references(node: Any, key: str = "ref") -> Iterable[str]:
    if isinstance(node, dict):
        if isinstance(node.get(key), str):
            yield node[key]
        for child in node.values():
            if isinstance(child, dict | list):
                yield from _references(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child, key)
