"""Rows of the core group's everyday kinds: namespaces, nodes, secrets, events, quotas."""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.printers import pod
from wherry.apiserver.printers.form import NONE, UNKNOWN, Printer, age, columns, condition, name, since, spec, status

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def namespace(obj: Obj, now: float) -> list[Any]:
    return [name(obj), status(obj).get("phase", ""), age(obj, now)]


def config_map(obj: Obj, now: float) -> list[Any]:
    return [name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def secret(obj: Obj, now: float) -> list[Any]:
    return [name(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


def named(obj: Obj, now: float) -> list[Any]:
    return [name(obj), age(obj, now)]


def created(obj: Obj, now: float) -> list[Any]:
    """Kinds without columns of their own show when they were made."""
    return [name(obj), obj["metadata"].get("creationTimestamp") or ""]


def component_status(obj: Obj, now: float) -> list[Any]:
    healthy: Obj = next((c for c in obj.get("conditions") or [] if c.get("type") == "Healthy"), {})
    word = {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")
    return [name(obj), word, healthy.get("message", ""), healthy.get("error", "")]


def node(obj: Obj, now: float) -> list[Any]:
    info = status(obj).get("nodeInfo") or {}
    return [
        name(obj),
        _node_status(obj),
        _roles(obj),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Obj) -> str:
    ready = condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Obj) -> str:
    labels = obj["metadata"].get("labels") or {}
    roles = {key.removeprefix(ROLE_PREFIX) for key in labels if key.startswith(ROLE_PREFIX)} | {labels.get(ROLE_LABEL)}
    return ",".join(sorted(role for role in roles if role)) or NONE


def _address(obj: Obj, type: str) -> str:
    addresses = status(obj).get("addresses") or []
    return next((entry.get("address", "") for entry in addresses if entry.get("type") == type), NONE)


def event(obj: Obj, now: float) -> list[Any]:
    """Of either group: events.k8s.io names the same things differently."""
    first = since(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    last_time = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last = since(last_time, now) if last_time else first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last = since(series.get("lastObservedTime"), now)
        count = series.get("count", 0)
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    kind = about.get("kind", "").lower()
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        _source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        name(obj),
    ]


def _source(obj: Obj) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    return ", ".join(part for part in (component, source.get("host", "")) if part)


def resource_quota(obj: Obj, now: float) -> list[Any]:
    hard = status(obj).get("hard") or {}
    used = status(obj).get("used") or {}
    texts = {key: f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard)}
    requests = ", ".join(text for key, text in texts.items() if not key.startswith("limits"))
    limits = ", ".join(text for key, text in texts.items() if key.startswith("limits"))
    return [name(obj), requests, limits, age(obj, now)]


_EVENT = Printer(columns("Last Seen|Type|Reason|Object|+Subobject|+Source|Message|+First Seen|+Count|+Name"), event)
NAMED = Printer(columns("Name|Age"), named)
CREATED = Printer(columns("Name|Created At:d"), created)
PRINTERS = {
    "/pods": pod.PRINTER,
    "/namespaces": Printer(columns("Name|Status|Age"), namespace),
    "/configmaps": Printer(columns("Name|Data|Age"), config_map),
    "/secrets": Printer(columns("Name|Type|Data|Age"), secret),
    "/serviceaccounts": NAMED,
    "/componentstatuses": Printer(columns("Name|Status|Message|Error"), component_status),
    "/nodes": Printer(
        columns("Name|Status|Roles|Age|Version|+Internal-IP|+External-IP|+OS-Image|+Kernel-Version|+Container-Runtime"),
        node,
    ),
    "/events": _EVENT,
    "events.k8s.io/events": _EVENT,
    "/resourcequotas": Printer(columns("Name|Request|Limit|Age"), resource_quota),
    "/limitranges": CREATED,
}
