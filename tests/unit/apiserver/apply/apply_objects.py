"""Random Deployments, and configurations of them, for tests of server-side apply: few names, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from wherry.aio.clock import ManualClock
from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.apply.entries import APPLY, UPDATE, Writer
from wherry.apiserver.apply.field_manager import ByApply, ByUpdate
from wherry.apiserver.apply.field_set import FieldSet
from wherry.apiserver.apply.shape import tracked_shape, whole_shape
from wherry.apiserver.apply.views import View, Views

Obj = dict[str, Any]
SCHEMA = Scheme.load().schema(Scheme.load().resources[GVR("apps", "v1", "deployments")])
KNOWN: dict[int, Any] = {}
VIEW = View(whole_shape(SCHEMA, KNOWN), tracked_shape(SCHEMA, KNOWN))
VIEWS = Views({"apps/v1": VIEW}.get)
NO_RESET: FieldSet = {}
WORDS = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(WORDS, WORDS, max_size=3)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Obj]:
    return st.fixed_dictionaries({}, optional=fields)


ENV = st.lists(
    st.fixed_dictionaries({"name": WORDS}, optional={"value": WORDS}), max_size=3, unique_by=lambda each: each["name"]
)
PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([80, 81]), "protocol": st.sampled_from(["TCP", "UDP"])},
        optional={"name": WORDS},
    ),
    max_size=3,
    unique_by=lambda each: (each["containerPort"], each["protocol"]),
)  # fmt: skip
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS}, optional={"image": WORDS, "args": st.lists(WORDS, max_size=2), "env": ENV, "ports": PORTS}
    ),
    max_size=3,
    unique_by=lambda each: each["name"],
)
FINALIZERS = st.lists(WORDS, max_size=3, unique=True)


def _tidy(value: Any) -> Any:
    """Without empty maps and lists, which the server drops when it decodes."""
    if isinstance(value, dict):
        return {key: below for key, item in value.items() if (below := _tidy(item)) not in ({}, [])}
    return [_tidy(item) for item in value] if isinstance(value, list) else value


CONFIGURATIONS: st.SearchStrategy[Obj] = st.builds(
    lambda metadata, spec: _tidy(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", **metadata}, "spec": spec}
    ),
    _some(labels=LABELS, annotations=LABELS, finalizers=FINALIZERS),
    _some(
        replicas=st.integers(0, 3),
        selector=_some(matchLabels=LABELS),
        template=_some(metadata=_some(labels=LABELS), spec=_some(containers=CONTAINERS, nodeSelector=LABELS)),
        strategy=_some(type=WORDS),
    ),
)


def by_apply(manager: str, force: bool = False) -> ByApply:
    return ByApply(Writer(manager, APPLY, "apps/v1"), VIEWS, NO_RESET, ManualClock(), force)


def by_update(manager: str) -> ByUpdate:
    return ByUpdate(Writer(manager, UPDATE, "apps/v1"), VIEWS, NO_RESET, ManualClock())


def apply(live: Obj | None, configuration: Obj, manager: str, force: bool = False) -> Obj:
    """The object with its managedFields after an apply. Raises StatusError 409."""
    owners = by_apply(manager, force)
    owners.check(configuration)
    obj, entries = owners.merge(live, configuration)
    obj = _without_nulls(obj if obj is not None else live)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": {**metadata, **({"managedFields": entries} if entries else {})}}


def update(live: Obj | None, new: Obj, manager: str) -> Obj:
    obj = {**new, "metadata": dict(new["metadata"])}
    by_update(manager).own(obj, live)
    return obj


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def bare(obj: Obj) -> Obj:
    """The object without its owners."""
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def fields(obj: Obj, manager: str) -> FieldSet:
    found = [each for each in obj["metadata"].get("managedFields", ()) if each["manager"] == manager]
    assert len(found) <= 1
    return found[0]["fieldsV1"] if found else {}


def shuffled(value: Any) -> Any:
    """The same with its keys the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value
