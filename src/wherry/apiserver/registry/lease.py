"""Leases: who leads, and until when."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f


class LeaseStrategy(BuiltIn):
    has_generation = False
    allow_create_on_update = True
    allow_unconditional_update = False

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        _drop_disabled(obj["spec"])

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_update(obj, old, ctx)
        _drop_disabled(obj["spec"])

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        seconds = spec.get("leaseDurationSeconds")
        causes: list[Cause] = []
        if seconds is not None and seconds <= 0:
            causes.append(f.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        return causes + f.non_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")


def _drop_disabled(spec: Obj) -> None:
    """Fields of coordinated leader election, which is off in 1.36."""
    for key in ("strategy", "preferredHolder"):
        spec.pop(key, None)
