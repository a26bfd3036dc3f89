"""Nodes: a kubelet registers one with its status; what identifies it is set once."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, section, text
from wherry.apiserver.registry.pod_defaults import canonical_list
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import cidr
from wherry.apiserver.registry.validation.scheduling import EFFECTS

_INFO = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion"),
    *("kubeProxyVersion", "operatingSystem", "architecture"),
)


class NodeStrategy(BuiltIn):
    has_generation = False
    condition_times = ("lastHeartbeatTime", "lastTransitionTime")

    def default(self, obj: Obj) -> None:
        super().default(obj)
        status, spec = section(obj, "status"), obj["spec"]
        if spec.get("podCIDR") and (not spec.get("podCIDRs") or spec["podCIDRs"][0] != spec["podCIDR"]):
            spec["podCIDRs"] = [spec["podCIDR"]]
        elif spec.get("podCIDRs"):
            spec["podCIDR"] = spec["podCIDRs"][0]
        for key in ("capacity", "allocatable"):
            if status.get(key):
                status[key] = canonical_list(status[key])
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])
        endpoint = section(section(status, "daemonEndpoints"), "kubeletEndpoint")
        endpoint.setdefault("Port", 0)
        info = section(status, "nodeInfo")
        for key in _INFO:
            info.setdefault(key, "")

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        """The status of a new node is its kubelet's own."""

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_status_update(obj, old, ctx)
        obj["status"] = _with_allocatable(f.as_dict(obj.get("status")), f.as_dict(old.get("status")))

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = _taints(f.as_list(spec.get("taints")), "metadata.taints")
        for i, network in enumerate(f.as_list(spec.get("podCIDRs"))):
            causes += cidr(network, f"spec.podCIDRs[{i}]")
        return causes + _status(f.as_dict(obj.get("status")))

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        causes: list[Cause] = []
        for key, detail in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
            before = old["spec"].get(key)
            if before and obj["spec"].get(key) != before:
                path = "spec.podCIDRs" if key == "podCIDRs" else "spec.providerID"
                causes.append(f.forbidden(path, f'node updates may not change {detail} except from "" to valid'))
        return causes

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return _status(f.as_dict(obj.get("status")))

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"spec.unschedulable": text(obj, "spec", "unschedulable") or "false"}


def _with_allocatable(status: Obj, before: Obj) -> Obj:
    """A capacity nobody reserved from is allocatable; one that changed with it, too."""
    if status.get("capacity") and status.get("allocatable") == before.get("allocatable") == before.get("capacity"):
        return {**status, "allocatable": dict(status["capacity"])}
    return status


def _taints(taints: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        at, key = f"{path}[{i}]", taint.get("key") or ""
        value, effect = taint.get("value") or "", taint.get("effect") or ""
        causes += f.qualified(key, f"{at}.key")
        causes += f.each_invalid(f"{at}.value", value, names.label_value(value))
        causes += f.one_of(effect, f"{at}.effect", EFFECTS, need=True)
        if effect and (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            causes.append(f.duplicate(at, shown, "taints must be unique by key and effect pair"))
        seen.add((key, effect))
    return causes


def _status(status: Obj) -> list[Cause]:
    """Addresses once each, amounts not negative."""
    addresses = f.as_list(status.get("addresses"))
    causes = [
        f.duplicate(f"status.addresses[{i}]", {"Type": each.get("type") or "", "Address": each.get("address") or ""})
        for i, each in enumerate(addresses)
        if each in addresses[:i]
    ]
    return causes + _amounts(status)


def _amounts(status: Obj) -> list[Cause]:
    zero = Quantity.parse("0")
    return [
        f.invalid(f"status.{side}.{name}", str(value), f.NON_NEGATIVE)
        for side in ("capacity", "allocatable")
        for name, value in f.as_dict(status.get(side)).items()
        if Quantity.parse(value) < zero
    ]
