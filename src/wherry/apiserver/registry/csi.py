"""What a CSI driver says of itself, of a node and of the room it has left: CSIDrivers, CSINodes, CSIStorageCapacities."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.validation.volume_sources import csi_driver_name

NODE_ID_MAX = 256
UPDATE_PERIOD_MIN = 10
_TEN_MINUTES, _MAX_TOKEN_SECONDS = 600, 1 << 32


class CSIDriverStrategy(BuiltIn):
    allow_unconditional_update = False
    returns_deleted = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        fill(
            obj["spec"],
            attachRequired=True,
            podInfoOnMount=False,
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            requiresRepublish=False,
            seLinuxMount=False,
        )
        if not obj["spec"].get("volumeLifecycleModes"):
            obj["spec"]["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        policies = ("File", "None", "ReadWriteOnceWithFSType")
        causes = f.one_of(spec.get("fsGroupPolicy"), "spec.fsGroupPolicy", policies)
        causes += _tokens(f.as_list(spec.get("tokenRequests")), "spec.tokenRequests")
        modes = ("Persistent", "Ephemeral")
        causes += [
            f.not_supported("spec.volumeLifecycleModes", mode, modes)
            for mode in spec["volumeLifecycleModes"]
            if mode not in modes
        ]
        period = spec.get("nodeAllocatableUpdatePeriodSeconds")
        if period is not None and period < UPDATE_PERIOD_MIN:
            at, detail = "spec.nodeAllocatableUpdatePeriodSeconds", "must be greater than or equal to 10 seconds"
            causes.append(f.invalid(at, period, detail))
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        causes = []
        if new["attachRequired"] != stored.get("attachRequired"):
            # The path is Kubernetes'.
            causes.append(f.invalid("spec.attachedRequired", new["attachRequired"], f.IMMUTABLE))
        key = "volumeLifecycleModes"
        return causes + f.unchanged(new.get(key), stored.get(key), f"spec.{key}")


def _tokens(requests: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, request in enumerate(requests):
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        at = f"{path}[{i}].expirationSeconds"
        if audience in seen:
            causes.append(f.duplicate(f"{path}[{i}].audience", audience))
        elif seconds is not None and seconds < _TEN_MINUTES:
            causes.append(f.invalid(at, seconds, "may not specify a duration less than 10 minutes"))
        elif seconds is not None and seconds > _MAX_TOKEN_SECONDS:
            causes.append(f.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"))
        seen.add(audience)
    return causes


class CSINodeStrategy(BuiltIn):
    allow_unconditional_update = False
    returns_deleted = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        obj["spec"].setdefault("drivers", None)

    def validate(self, obj: Obj) -> list[Cause]:
        causes: list[Cause] = []
        seen: set[str] = set()
        for i, driver in enumerate(f.as_list(obj["spec"]["drivers"])):
            causes += _driver(driver, seen, f"spec.drivers[{i}]")
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        """A driver stays as it registered, save for how many volumes it has room for."""
        now = {driver.get("name"): _fixed(driver) for driver in f.as_list(obj["spec"]["drivers"])}
        return [
            f.invalid("spec.drivers", now[driver.get("name")], f.IMMUTABLE)
            for driver in f.as_list(old["spec"].get("drivers"))
            if now.get(driver.get("name"), _fixed(driver)) != _fixed(driver)
        ]


def _fixed(driver: Obj) -> Obj:
    return {key: value for key, value in driver.items() if key != "allocatable"}


def _driver(driver: Obj, seen: set[str], path: str) -> list[Cause]:
    name, identity = driver.get("name") or "", driver.get("nodeID") or ""
    causes = csi_driver_name(name, f"{path}.name")
    if not identity:
        causes.append(f.required(f"{path}.nodeID"))
    if len(identity.encode()) > NODE_ID_MAX:
        causes.append(f.invalid(f"{path}.nodeID", identity, f"must be {NODE_ID_MAX} characters or less"))
    causes += f.non_negative(f.as_dict(driver.get("allocatable")).get("count"), f"{path}.allocatable.count")
    if name in seen:
        causes.append(f.duplicate(f"{path}.name", name))
    seen.add(name)
    keys: set[str] = set()
    for key in f.as_list(driver.get("topologyKeys")):
        causes += [] if key else [f.required(path)]
        causes += [f.duplicate(path, key)] if key in keys else []
        keys.add(key)
        causes += f.qualified(key, path)
    return causes


class CSIStorageCapacityStrategy(Strategy):
    allow_unconditional_update = False

    def validate(self, obj: Obj) -> list[Cause]:
        causes = selectors.label_selector(obj.get("nodeTopology"), "nodeTopology")
        name = obj.get("storageClassName") or ""
        causes += f.each_invalid("storageClassName", name, names.dns1123_subdomain(name))
        amount = obj.get("capacity")
        if amount is not None and Quantity.parse(amount) < Quantity.parse("0"):
            causes.append(f.invalid("capacity", str(amount), f.NON_NEGATIVE))
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        keys = ("nodeTopology", "storageClassName")
        return [cause for key in keys for cause in f.unchanged(obj.get(key), old.get(key), key)]
