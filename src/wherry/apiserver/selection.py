"""Which objects a list, watch or deletecollection is about: label and field selectors over stored objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from wherry.api import fields, labels
from wherry.api.errors import bad_request
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.options import ListOptions
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation.field import quote
from wherry.storage.interface import Entry

_NONE: Mapping[str, str] = {}
_ALWAYS = ("metadata.name", "metadata.namespace")
NODE_NAME = "spec.nodeName"


class Selection(Struct, frozen=True):
    """`everything` is the common case and costs nothing."""

    everything: bool
    label_selector: labels.Selector
    field_selector: fields.Selector
    strategy: Strategy
    name: str = ""
    """The one name a field selector pins, or ""."""
    node: str | None = None
    """The one `spec.nodeName` it pins: what every node agent asks, and so what is looked at first."""

    def matches(self, obj: Obj) -> bool:
        if self.everything:
            return True
        if self.node is not None and (obj["spec"].get("nodeName") or "") != self.node:
            return False
        metadata = obj["metadata"]
        if not self.label_selector.is_empty() and not self.label_selector.matches(metadata.get("labels")):
            return False
        return self.field_selector.is_empty() or self.field_selector.matches(self._fields(obj))

    def among(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that match. Nearly all selectors ask for labels with one value: thousands of objects are looked at in a
        quarter of the time; and node agents ask for the pods of one node."""
        if self.node is not None:
            entries = [entry for entry in entries if (entry.value["spec"].get("nodeName") or "") == self.node]
        pairs = self.label_selector.equalities() if self.field_selector.is_empty() else None
        if pairs is None:
            return [entry for entry in entries if self.matches(entry.value)]
        found = list(entries)
        for key, value in pairs:
            found = [entry for entry in found if (entry.value["metadata"].get("labels") or _NONE).get(key) == value]
        return found

    def _fields(self, obj: Obj) -> Mapping[str, str]:
        metadata = obj["metadata"]
        return {
            **self.strategy.fields(obj),
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata.get("namespace", ""),
        }


def select(options: ListOptions, strategy: Strategy, served: Resource, name: str = "") -> Selection:
    """Raises 400 for selectors that cannot be read or name unknown fields. `served` is the resource as the request names it,
    `name` restricts to one object."""
    try:
        label_selector = labels.Selector.parse(options.label_selector)
    except labels.SelectorError as error:
        raise bad_request(str(error)) from None
    try:
        field_selector = fields.Selector.parse(options.field_selector)
    except fields.FieldSelectorError as error:
        raise bad_request(str(error)) from None
    spoken = strategy.spoken_fields(served)
    if spoken is not None:
        field_selector = _translated(field_selector, spoken)
    if name:
        field_selector = fields.Selector((*field_selector.terms, fields.Term("metadata.name", True, name)))
    _check_names(field_selector, strategy)
    everything = label_selector.is_empty() and field_selector.is_empty()
    pinned = field_selector.required("metadata.name") or ""
    node = field_selector.required(NODE_NAME) if strategy.lies_on_nodes else None
    return Selection(everything, label_selector, field_selector, strategy, pinned, node)


def _translated(selector: fields.Selector, spoken: Mapping[str, str]) -> fields.Selector:
    """With the names of the stored version."""
    for name in selector.names:
        if name not in spoken and name not in _ALWAYS:
            raise bad_request(f"field label not supported: {name}")
    return fields.Selector(
        tuple(fields.Term(spoken.get(each.field, each.field), each.equal, each.value) for each in selector.terms)
    )


def _check_names(selector: fields.Selector, strategy: Strategy) -> None:
    if selector.is_empty():
        return
    supported = strategy.fields({}).keys()
    for name in selector.names:
        if name in _ALWAYS or name in supported:
            continue
        if supported or strategy.converts_labels:
            raise bad_request(f"field label not supported: {name}")
        known = ", ".join(quote(each) for each in _ALWAYS)
        raise bad_request(f"{quote(name)} is not a known field selector: only {known}")
