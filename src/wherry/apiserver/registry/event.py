"""Events: they speak of an object of their own namespace; clients select them by whom they speak of."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.errors import Cause
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import text
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.registry.validation import field as f

_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIXED = (
    *(
        (key, key)
        for key in ("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count")
    ),
    *((key, key) for key in ("type", "eventTime", "action", "related", "reportingInstance")),
    ("reportingComponent", "reportingController"),
)
"""What a recorder of events.k8s.io may not change, and what its path is there."""
_CLUSTER_SCOPED_IN = ("default", "kube-system")


class EventStrategy(Strategy):
    allow_create_on_update = True

    def default(self, obj: Obj) -> None:
        for key in ("involvedObject", "source"):
            if obj.get(key) is None:
                obj[key] = {}
        for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(key, None)
        for key in ("reportingComponent", "reportingInstance"):
            obj.setdefault(key, "")

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        strict = _is_strict(ctx)
        return _always(obj, strict) + (_strict(obj) if strict else [])

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        if not _is_strict(ctx):
            return _always(obj, False)
        causes = _always(obj, True)
        if obj.get("series") != old.get("series"):
            causes += _series(obj.get("series"))
        return causes + [cause for key, said in _FIXED for cause in f.unchanged(obj.get(key), old.get(key), said)]

    def fields(self, obj: Obj) -> Mapping[str, str]:
        found = {f"involvedObject.{key}": text(obj, "involvedObject", key) for key in _ABOUT}
        source = text(obj, "source", "component") or text(obj, "reportingComponent")
        return {
            **found,
            "reason": text(obj, "reason"),
            "reportingComponent": text(obj, "reportingComponent"),
            "source": source,
            "type": text(obj, "type"),
        }

    def spoken_fields(self, served: Resource) -> Mapping[str, str] | None:
        return _SPOKEN if served.group == "events.k8s.io" else None


_SPOKEN = {
    **{f"regarding.{key}": f"involvedObject.{key}" for key in _ABOUT},
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}
"""Field labels of events.k8s.io."""


def _is_strict(ctx: Context) -> bool:
    """Whether the request speaks events.k8s.io, whose rules are those of new recorders."""
    return ctx.served is not None and ctx.served.group == "events.k8s.io"


def _always(obj: Obj, strict: bool) -> list[Cause]:
    """The rules of both groups. Paths are those of the group that is spoken, where Kubernetes minds."""
    about, own = text(obj, "involvedObject", "namespace"), obj["metadata"].get("namespace")
    causes: list[Cause] = []
    # What is said of objects without a namespace lies in one of two.
    if about != own and (about or own not in _CLUSTER_SCOPED_IN):
        causes.append(f.invalid("involvedObject.namespace", about, "does not match event.namespace"))
    if obj.get("eventTime") is not None:
        causes += _modern(obj, "reportingController" if strict else "reportingComponent")
    return causes


def _modern(obj: Obj, controller_path: str) -> list[Cause]:
    """Events with an eventTime come from recorders that say who they are."""
    component, instance = obj.get("reportingComponent") or "", obj.get("reportingInstance") or ""
    causes = [] if component else [f.required(controller_path)]
    causes += f.qualified(component, controller_path)
    if not instance:
        causes.append(f.required("reportingInstance"))
    elif len(instance) > 128:
        causes.append(f.invalid("reportingInstance", "", "can have at most 128 characters"))
    for key, limit in (("action", 128), ("reason", 128)):
        value = obj.get(key) or ""
        if not value:
            causes.append(f.required(key))
        elif len(value) > limit:
            causes.append(f.invalid(key, "", f"can have at most {limit} characters"))
    if len(obj.get("message") or "") > 1024:
        causes.append(f.invalid("message", "", "can have at most 1024 characters"))
    return causes


def _strict(obj: Obj) -> list[Cause]:
    """What only events.k8s.io asks of a new event: no field of the old way of counting."""
    causes = _series(obj.get("series"))
    if obj.get("eventTime") is None:
        causes.append(f.required("eventTime"))
    kind = obj.get("type") or ""
    if kind not in ("Normal", "Warning"):
        causes.append(f.invalid("type", "", f"has invalid value: {kind}"))
    unset = [key for key in ("firstTimestamp", "lastTimestamp", "count") if obj.get(key)]
    unset += ["source"] if any(f.as_dict(obj.get("source")).values()) else []
    return causes + [f.invalid(key, "", "needs to be unset") for key in unset]


def _series(series: Obj | None) -> list[Cause]:
    if series is None:
        return []
    causes: list[Cause] = []
    if (series.get("count") or 0) < 2:
        causes.append(f.invalid("series.count", "", "should be at least 2"))
    if series.get("lastObservedTime") is None:
        causes.append(f.required("series.lastObservedTime"))
    return causes
