"""Events: they speak of an object of their own namespace; clients select them by whom they speak of."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import text
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
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

    def validate(self, obj: Obj) -> list[Cause]:
        about, own = text(obj, "involvedObject", "namespace"), obj["metadata"].get("namespace")
        causes: list[Cause] = []
        # What is said of objects without a namespace lies in one of two.
        if about != own and (about or own not in _CLUSTER_SCOPED_IN):
            causes.append(f.invalid("involvedObject.namespace", about, "does not match event.namespace"))
        if obj.get("eventTime") is not None:
            causes += _modern(obj)
        return causes

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


def _modern(obj: Obj) -> list[Cause]:
    """Events with an eventTime come from recorders that say who they are."""
    component, instance = obj.get("reportingComponent") or "", obj.get("reportingInstance") or ""
    causes = [] if component else [f.required("reportingComponent")]
    causes += f.qualified(component, "reportingComponent")
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
