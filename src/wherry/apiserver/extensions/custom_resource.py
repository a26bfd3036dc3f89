"""Custom resources: the strategy of one served version, and its registry, which speaks that version.

Everything here happens in the version of the request: defaults, pruning, validation; `codec.py` brings it to the version that
is stored. Source: Kubernetes' "Extend the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from wherry.api.errors import Cause
from wherry.api.schema import Schema
from wherry.api.scheme import Resource
from wherry.api.structure import Findings
from wherry.api.structure import normalise as normalise_built_in
from wherry.api.types import Obj
from wherry.apiserver.extensions import paths
from wherry.apiserver.extensions.codec import Codec, CodecStorage
from wherry.apiserver.extensions.defaulting import default
from wherry.apiserver.extensions.pruning import prune
from wherry.apiserver.extensions.rules import Validator, rules
from wherry.apiserver.extensions.structural import Node
from wherry.apiserver.extensions.structure_rules import duplicates, embedded
from wherry.apiserver.extensions.values import validate
from wherry.apiserver.registry.generic import Registry, Write
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.registry.validation import field

INT32_MAX = 2**31 - 1
_BLOCKING = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class CustomResourceStrategy(Strategy):
    """One served version of one definition."""

    allow_unconditional_update = False
    any_finalizer = True
    converts_labels = True
    may_be_heavy = True

    def __init__(self, resource: Resource, version: Obj, root: Node) -> None:
        """`version` is an entry of spec.versions."""
        super().__init__(resource)
        self._root = root
        subresources = version.get("subresources") or {}
        self._scale: Obj | None = subresources.get("scale")
        self._selectable: list[str] = [each["jsonPath"] for each in version.get("selectableFields") or ()]
        status = root.props.get("properties", {}).get("status")
        self._status_root = Node({"type": "object", "properties": {"status": status} if status else {}})
        self._generation = True

    @cached_property
    def _rules(self) -> Validator | None:
        """Compiled for the first write."""
        return rules(self._root)

    def default(self, obj: Obj) -> None:
        default(obj, self._root)

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        self._settle(obj)
        super().prepare_create(obj, ctx)

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        self._settle(obj)
        super().prepare_update(obj, old, ctx)

    def count_generation(self, obj: Obj, old: Obj) -> None:
        """Without a status subresource a status counts like everything else."""
        super().count_generation(obj, old)
        if not self._status and obj.get("status") != old.get("status"):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def _settle(self, obj: Obj) -> None:
        """What admission put in is read like what the caller sent."""
        prune(obj, self._root)
        default(obj, self._root)

    def _type_causes(self, obj: Obj) -> list[Cause]:
        """A patch could have changed what the object is."""
        wanted = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        return [
            field.invalid(key, obj.get(key), f"must be {text}") for key, text in wanted.items() if obj.get(key) != text
        ]

    def validate(self, obj: Obj) -> list[Cause]:
        causes = self._type_causes(obj) + validate(obj, self._root) + self._scale_causes(obj)
        causes += embedded(obj, self._root) + duplicates(obj, self._root)
        return causes + self._rule_causes(causes, obj, None, self._root)

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        """Values that stay as they were are not judged again."""
        causes = self._type_causes(obj) + validate(obj, self._root, old)
        causes += self._scale_causes(obj) + embedded(obj, self._root)
        if not duplicates(old, self._root):
            causes += duplicates(obj, self._root)
        return causes + self._rule_causes(causes, obj, old, self._root)

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        root, status, before = self._status_root, {"status": obj.get("status")}, {"status": old.get("status")}
        if "status" not in obj:
            return []
        causes = validate(status, root, before) + embedded(status, root)
        if not duplicates(before, root):
            causes += duplicates(status, root)
        return causes + self._rule_causes(causes, obj, old, root)

    def _rule_causes(self, causes: list[Cause], obj: Obj, old: Obj | None, root: Node) -> list[Cause]:
        if self._rules is None:
            return []
        if any(cause.reason in _BLOCKING for cause in causes):
            return [Cause("FieldValueInvalid", f"Invalid value: null: {_UNCHECKED}", "<nil>")]
        return self._rules.validate(obj, old, root)

    def _scale_causes(self, obj: Obj) -> list[Cause]:
        if self._scale is None:
            return []
        causes: list[Cause] = []
        for key in ("specReplicasPath", "statusReplicasPath"):
            path = self._scale[key]
            replicas = paths.get(obj, path)
            if replicas is None:
                continue
            if not isinstance(replicas, int) or isinstance(replicas, bool):
                text = (
                    f"{path} accessor error: {field.show(replicas)} is of the type {_go_type(replicas)}, expected int64"
                )
                causes.append(field.invalid(path, replicas, text))
            elif replicas < 0:
                causes.append(field.invalid(path, replicas, "should be a non-negative integer"))
            elif replicas > INT32_MAX:
                causes.append(field.invalid(path, replicas, f"should be less than or equal to {INT32_MAX}"))
        path = self._scale.get("labelSelectorPath")
        if path:
            selector = paths.get(obj, path)
            if selector is not None and not isinstance(selector, str):
                text = f"{path} accessor error: {field.show(selector)} is of the type {_go_type(selector)}, expected string"
                causes.append(field.invalid(path, selector, text))
        return causes

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        before = (old or {}).get("metadata", {}).get("finalizers", ())
        forgiven = self._rules.warnings(obj) if self._rules is not None else []
        return forgiven + [
            f"metadata.finalizers: {field.quote(each)}: prefer a domain-qualified finalizer name including a path (/) to "
            "avoid accidental conflicts with other finalizer writers"
            for each in sorted(obj["metadata"].get("finalizers", ()))
            if each not in before and "/" not in each and each not in ("orphan", "foregroundDeletion")
        ]

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {path.removeprefix("."): _text(paths.get(obj, path)) for path in self._selectable}


def _text(value: Any) -> str:
    """A selectable field as selectors compare it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", float: "float64", int: "int64", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


class CustomRegistry(Registry):
    """`Registry` over a codec; registries of all versions of one definition share their turns."""

    def __init__(self, resource: Resource, strategy: CustomResourceStrategy, codec: Codec) -> None:
        super().__init__(resource, strategy, CodecStorage(codec))
        self._codec = codec
        self._turns = codec.family.turns

    @asynccontextmanager
    async def _turn(self, key: str, write: Write) -> AsyncIterator[None]:
        async with super()._turn(key, write):
            await self._codec.warm(key)
            yield


class Reader:
    """Reads bodies of one version: unknown fields are dropped and told, nothing else changes."""

    def __init__(self, root: Node, metadata: Schema) -> None:
        """`metadata`: the schema of an object of which only the metadata is described."""
        self._root = root
        self._metadata = metadata

    def __call__(self, obj: Obj, schema: Schema) -> Findings:
        head = {"metadata": obj.get("metadata")}
        findings = normalise_built_in(head, self._metadata)
        if findings.error:
            return findings
        if "metadata" in head:
            obj["metadata"] = head["metadata"]
        findings.unknown += prune(obj, self._root)
        return findings
