"""Devices pods claim: DeviceClasses, ResourceClaims, their templates, ResourceSlices, DeviceTaintRules. Stored and checked;
no driver allocates here."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, section, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import claims, devices, resource_slice, resources
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.volume_sources import csi_driver_name

RESERVED_MAX = 256


class DeviceClassStrategy(BuiltIn):
    returns_deleted = True
    has_generation = True

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = devices.selectors(f.as_list(spec.get("selectors")), "spec.selectors")
        configs = f.as_list(spec.get("config"))
        causes += devices.each(configs, devices.configuration, "spec.config", devices.LIST_MAX)
        name, path = spec.get("extendedResourceName"), "spec.extendedResourceName"
        if name is not None and not resources.is_extended(name):
            causes.append(f.invalid(path, name, "must be a valid extended resource name"))
        return causes


class ResourceClaimStrategy(BuiltIn):
    returns_deleted = True
    has_generation = False
    empty_status = {}  # noqa: RUF012 - a constant

    def default(self, obj: Obj) -> None:
        super().default(obj)
        section(obj["spec"], "devices")
        devices.default_requests(obj["spec"])

    def validate(self, obj: Obj) -> list[Cause]:
        return devices.claim_spec(obj["spec"], "spec")

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return f.unchanged(obj["spec"], old["spec"], "spec")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status, before = f.as_dict(obj.get("status")), f.as_dict(old.get("status"))
        reserved, path = f.as_list(status.get("reservedFor")), "status.reservedFor"
        causes = devices.each(reserved, _consumer, path, RESERVED_MAX, lambda one: one.get("uid") or "")
        allocation = status.get("allocation")
        if reserved and allocation is None:
            causes.append(f.forbidden(path, "may not be specified when `allocated` is not set"))
        elif obj["metadata"].get("deletionTimestamp") and any(
            one not in f.as_list(before.get("reservedFor")) for one in reserved
        ):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            causes.append(f.forbidden(path, detail))
        if allocation is None:
            return causes
        if before.get("allocation") is not None:
            return causes + f.unchanged(allocation, before["allocation"], "status.allocation")
        return causes + _allocation(allocation, devices.request_names(obj["spec"]), "status.allocation.devices")


def _consumer(consumer: Obj, path: str) -> list[Cause]:
    return [f.required(f"{path}.{key}") for key in ("resource", "name", "uid") if not consumer.get(key)]


def _allocation(allocation: Obj, known: Mapping[str, set[str]], path: str) -> list[Cause]:
    def result(one: Obj, at: str) -> list[Cause]:
        device = one.get("device") or ""
        causes = devices.reference(one.get("request") or "", known, f"{at}.request")
        causes += csi_driver_name(one.get("driver") or "", f"{at}.driver")
        causes += [] if one.get("pool") else [f.required(f"{at}.pool")]
        return causes + f.each_invalid(f"{at}.device", device, names.dns1123_label(device))

    results = f.as_list(f.as_dict(allocation.get("devices")).get("results"))
    return devices.each(results, result, f"{path}.results", devices.LIST_MAX)


class ResourceClaimTemplateStrategy(BuiltIn):
    returns_deleted = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        section(section(obj["spec"], "spec"), "devices")
        section(obj["spec"], "metadata")
        devices.default_requests(obj["spec"]["spec"])

    def validate(self, obj: Obj) -> list[Cause]:
        causes = claims.template_metadata(obj["spec"]["metadata"], "spec.metadata")
        return causes + devices.claim_spec(obj["spec"]["spec"], "spec.spec")

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return f.unchanged(obj["spec"], old["spec"], "spec")


class ResourceSliceStrategy(BuiltIn):
    returns_deleted = True
    has_generation = True

    def validate(self, obj: Obj) -> list[Cause]:
        return resource_slice.spec(obj["spec"], "spec")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        pool, before = (f.as_dict(spec.get("pool")).get("name") for spec in (new, stored))
        causes = f.unchanged(pool, before, "spec.pool.name")
        for key in ("driver", "nodeName"):
            causes += f.unchanged(new.get(key), stored.get(key), f"spec.{key}")
        return causes

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {f"spec.{key}": text(obj, "spec", key) for key in ("nodeName", "driver")}


class DeviceTaintRuleStrategy(BuiltIn):
    returns_deleted = True

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = devices.taint(f.as_dict(spec.get("taint")), "spec.taint")
        chosen = f.as_dict(spec.get("deviceSelector"))
        if chosen.get("driver") is not None:
            causes += csi_driver_name(chosen["driver"], "spec.deviceSelector.driver")
        if chosen.get("device") is not None:
            causes += f.each_invalid(
                "spec.deviceSelector.device", chosen["device"], names.dns1123_label(chosen["device"])
            )
        return causes
