"""Reads the body of a CustomResourceDefinition: as any built-in kind, and into the places its published schema leaves open.

`items`, `additionalProperties` and `additionalItems` may be a schema or something else; what they hold is read like every
other schema. Always true afterwards: wherever a schema stands, its fields have the types JSONSchemaProps gives them.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api.schema import Schema
from wherry.api.scheme import Scheme
from wherry.api.structure import Findings, normalise
from wherry.api.types import Obj

_PROPS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_MAPS: Final = ("properties", "patternProperties", "definitions")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_OPEN: Final = ("items", "additionalProperties", "additionalItems")
DEPTH_MAX: Final = 200
"""As `api.structure` has it for one walk; ours are nested in one another."""


class DefinitionReader:
    """Takes the place of `normalise` for this kind."""

    def __init__(self, scheme: Scheme) -> None:
        self._props = scheme.definitions.schema(_PROPS)

    def __call__(self, obj: Obj, schema: Schema) -> Findings:
        findings = normalise(obj, schema)
        if findings.error:
            return findings
        for version in (obj.get("spec") or {}).get("versions") or ():
            root = (version.get("schema") or {}).get("openAPIV3Schema")
            problem = self._below(root, 0) if isinstance(root, dict) else ""
            if problem:
                findings.error = problem
                break
        return findings

    def _below(self, props: Obj, depth: int) -> str:
        """Read what is open here and below; what is wrong with it."""
        if depth > DEPTH_MAX:
            return "json: exceeded max depth"
        for key in _OPEN:
            if key in props and (problem := self._open(key, props[key], depth)):
                return problem
        children = [child for key in _MAPS for child in (props.get(key) or {}).values()]
        children += [child for key in _LISTS for child in props.get(key) or ()]
        if isinstance(props.get("not"), dict):
            children.append(props["not"])
        return next((problem for child in children if (problem := self._below(child, depth + 1))), "")

    def _open(self, key: str, value: Any, depth: int) -> str:
        if isinstance(value, dict):
            return normalise(value, self._props).error or self._below(value, depth + 1)
        if key == "items" and isinstance(value, list):
            return next((problem for child in value if (problem := self._open(key, child, depth + 1))), "")
        return "" if key != "items" and isinstance(value, bool) else f"json: {key}: boolean or JSON schema expected"
