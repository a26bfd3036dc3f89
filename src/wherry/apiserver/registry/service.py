"""Services: defaults, and which fields live and die with the type. Addresses and ports are service_allocation's."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import service_allocation as allocation
from wherry.apiserver.registry.built_in import BuiltIn, fill, masked, section, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import service as rules

AFFINITY_SECONDS = 10800


class ServiceStrategy(BuiltIn):
    allow_create_on_update = True
    checks_metadata_again = True
    has_generation = False
    returns_deleted = True
    empty_status = {"loadBalancer": {}}  # noqa: RUF012 - a constant

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        name = masked(name) if prefix else name
        return ["must not contain dots"] if "." in name else names.dns1123_label(name)

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, type="ClusterIP", sessionAffinity="None")
        for key in [key for key, value in spec.items() if value in ([], None)]:
            del spec[key]
        for port in spec.get("ports") or []:
            fill(port, protocol="TCP")
            if not port.get("targetPort"):
                port["targetPort"] = port.get("port", 0)
        if spec["sessionAffinity"] == "ClientIP":
            client = section(section(spec, "sessionAffinityConfig"), "clientIP")
            fill(client, timeoutSeconds=AFFINITY_SECONDS)
        else:
            spec.pop("sessionAffinityConfig", None)
        if allocation.is_external(spec):
            fill(spec, externalTrafficPolicy="Cluster")
        if spec["type"] == "LoadBalancer":
            fill(spec, allocateLoadBalancerNodePorts=True)
            for point in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
                if point.get("ip"):
                    fill(point, ipMode="VIP")
        if spec["type"] in allocation.WITH_ADDRESS:
            fill(spec, internalTrafficPolicy="Cluster")

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        allocation.normalize(obj["spec"], None)
        allocation.allocate(obj, None, ctx)

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_update(obj, old, ctx)
        spec, before = obj["spec"], old["spec"]
        allocation.normalize(spec, before)
        allocation.keep_allocated(spec, before)
        allocation.drop_with_type(spec, before)
        _drop_policies(spec, before)
        allocation.allocate(obj, old, ctx)

    def after_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        allocation.release_unused(obj["spec"], old["spec"], ctx)

    def after_delete(self, obj: Obj, ctx: Context) -> None:
        allocation.release_unused({}, obj["spec"], ctx)

    def validate(self, obj: Obj) -> list[Cause]:
        return rules.service(obj)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return rules.update(obj["spec"], old["spec"])

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return rules.status(obj)

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        return rules.warnings(obj["spec"])

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"spec.clusterIP": text(obj, "spec", "clusterIP"), "spec.type": text(obj, "spec", "type")}


def _drop_policies(spec: Obj, before: Obj) -> None:
    """What a former type needed and this one must not have; only when the writer did not touch it."""
    if not allocation.is_external(spec) and spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
        spec.pop("externalTrafficPolicy", None)
    if spec["type"] == "ExternalName" and spec.get("internalTrafficPolicy") == before.get("internalTrafficPolicy"):
        spec.pop("internalTrafficPolicy", None)
    if spec["type"] != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
