"""A structural schema, made ready for walking values: one `Node` per place in the tree.

Is: what a CustomResourceDefinition's openAPIV3Schema says, read once. Is not: the check that it may say so
(`schema_rules.py`), nor the walks (`pruning.py`, `defaulting.py`, `values.py`). Always true: a Node never changes, and the
same schema text gives equal behaviour wherever it is used. Source: Kubernetes' "Specifying a structural schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from wherry.api.types import Obj

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_MAP_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"
RULES: Final = "x-kubernetes-validations"
TYPE_META: Final = ("apiVersion", "kind", "metadata")


class Node:
    """
    props           JSONSchemaProps as sent
    type            "object", "array", "string", "integer", "number", "boolean" or "" (anything)
    fields          by name; children are made when first asked for
    preserve        unknown fields here stay
    embedded        a whole Kubernetes object: apiVersion, kind and metadata are known without saying
    keys            of a list of type map
    """

    __slots__ = ("__dict__", "embedded", "int_or_string", "keys", "list_type", "nullable", "preserve", "props", "type")

    def __init__(self, props: Obj) -> None:
        self.props = props
        self.type: str = props.get("type") or ""
        self.nullable: bool = bool(props.get("nullable"))
        self.preserve: bool = bool(props.get(PRESERVE))
        self.embedded: bool = bool(props.get(EMBEDDED))
        self.int_or_string: bool = bool(props.get(INT_OR_STRING))
        self.list_type: str = props.get(LIST_TYPE) or ""
        self.keys: tuple[str, ...] = tuple(props.get(LIST_MAP_KEYS) or ())

    @cached_property
    def fields(self) -> Mapping[str, Node]:
        return {name: Node(props) for name, props in (self.props.get("properties") or {}).items()}

    @cached_property
    def items(self) -> Node | None:
        items = self.props.get("items")
        return Node(items) if isinstance(items, dict) else None

    @cached_property
    def values(self) -> Node | None:
        """What the values of a map are made of."""
        more = self.props.get("additionalProperties")
        return Node(more) if isinstance(more, dict) else None

    @cached_property
    def any_of(self) -> tuple[Node, ...]:
        return self._parts("anyOf")

    @cached_property
    def one_of(self) -> tuple[Node, ...]:
        return self._parts("oneOf")

    @cached_property
    def all_of(self) -> tuple[Node, ...]:
        return self._parts("allOf")

    @cached_property
    def negated(self) -> Node | None:
        """What `not` forbids."""
        props = self.props.get("not")
        return Node(props) if props is not None else None

    def _parts(self, junctor: str) -> tuple[Node, ...]:
        return tuple(Node(part) for part in self.props.get(junctor) or ())

    @property
    def any_key(self) -> bool:
        """Whether keys that are no fields are fine: a map, or additionalProperties: true."""
        more = self.props.get("additionalProperties")
        return isinstance(more, dict) or more is True

    @property
    def has_default(self) -> bool:
        return self.props.get("default") is not None

    @property
    def default(self) -> Any:
        """Shared: copy it."""
        return self.props["default"]

    @cached_property
    def defaults_below(self) -> bool:
        """Whether this or anything below has a default."""
        return self.has_default or any(child.defaults_below for child in self._children)

    @cached_property
    def keyed_below(self) -> bool:
        """Whether this or anything below is a list of type set or map."""
        return self.list_type in ("set", "map") or any(child.keyed_below for child in self._children)

    @cached_property
    def embedded_below(self) -> bool:
        """Whether this or anything below is a whole Kubernetes object."""
        return self.embedded or any(child.embedded_below for child in self._children)

    @property
    def _children(self) -> list[Node]:
        return [*self.fields.values(), *(each for each in (self.items, self.values) if each is not None)]


EMPTY: Final = Node({"type": "object", PRESERVE: True})
"""Of a version that publishes no schema: anything goes."""
