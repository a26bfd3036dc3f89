"""StorageClasses, and CSIDrivers beside them: how volumes are made."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

_FOR_LIFE = ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")


class StorageClassStrategy(Strategy):
    def default(self, obj: Obj) -> None:
        fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate(self, obj: Obj) -> list[Cause]:
        provisioner = obj.get("provisioner") or ""
        causes = f.qualified(provisioner.lower(), "provisioner") if provisioner else [f.required("provisioner")]
        if "" in f.as_dict(obj.get("parameters")):
            causes.append(f.invalid("parameters", "", "field can not be empty."))
        causes += f.one_of(obj.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"))
        modes = ("Immediate", "WaitForFirstConsumer")
        causes += f.one_of(obj.get("volumeBindingMode"), "volumeBindingMode", modes)
        for i, term in enumerate(f.as_list(obj.get("allowedTopologies"))):
            for k, expression in enumerate(f.as_list(term.get("matchLabelExpressions"))):
                at = f"allowedTopologies[{i}].matchLabelExpressions[{k}]"
                causes += f.qualified(expression.get("key") or "", f"{at}.key")
                if not expression.get("values"):
                    causes.append(f.required(f"{at}.values"))
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return [cause for key in _FOR_LIFE for cause in f.unchanged(obj.get(key), old.get(key), key)]


class CSIDriverStrategy(BuiltIn):
    has_generation = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        fill(
            obj["spec"],
            attachRequired=True,
            podInfoOnMount=False,
            volumeLifecycleModes=["Persistent"],
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            requiresRepublish=False,
            seLinuxMount=False,
        )
