"""Nodes: a kubelet registers one with its status; what identifies it is set once."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, section, text
from wherry.apiserver.registry.pod_defaults import canonical_list
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import resources
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
        return causes + _amounts(f.as_dict(obj.get("status")))

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        return self.validate(obj) + _networks(f.as_list(obj["spec"].get("podCIDRs")), "spec.podCIDRs")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        causes = _addresses(f.as_dict(obj.get("status")))
        for key, detail in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
            before = old["spec"].get(key)
            if before and obj["spec"].get(key) != before:
                path = "spec.podCIDRs" if key == "podCIDRs" else "spec.providerID"
                causes.append(f.forbidden(path, f'node updates may not change {detail} except from "" to valid'))
        return causes

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        return _addresses(status) + _amounts(status)

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
        problems = names.label_value(value)
        causes += [f.invalid(f"{at}.value", value, ";".join(problems))] if problems else []
        causes += f.one_of(effect, f"{at}.effect", EFFECTS, need=True)
        if effect and (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            causes.append(f.duplicate(at, shown, "taints must be unique by key and effect pair"))
        seen.add((key, effect))
    return causes


def _networks(cidrs: list[str], path: str) -> list[Cause]:
    """One of each family at most."""
    causes = [cause for i, network in enumerate(cidrs) for cause in cidr(network, f"{path}[{i}]")]
    if not causes and len(cidrs) != len({":" in network for network in cidrs}):
        causes.append(f.invalid(path, cidrs, "may specify no more than one CIDR for each IP family"))
    return causes + [f.duplicate(f"{path}[{i}]", each) for i, each in enumerate(cidrs) if each in cidrs[:i]]


def _addresses(status: Obj) -> list[Cause]:
    """Once each."""
    addresses = f.as_list(status.get("addresses"))
    return [
        f.duplicate(f"status.addresses[{i}]", {"Type": each.get("type") or "", "Address": each.get("address") or ""})
        for i, each in enumerate(addresses)
        if each in addresses[:i]
    ]


def _amounts(status: Obj) -> list[Cause]:
    return [
        cause
        for side in ("capacity", "allocatable")
        for name, value in f.as_dict(status.get(side)).items()
        for cause in resources.quantity(name, value, f"status.{side}.{name}")
    ]
