"""Which pressures a node is under, and whom it lets in meanwhile. Pure state: no clock, no I/O.

A condition stays for the transition period after its threshold was met last, so that it does not come and go with every pod.
One that only a fault made on purpose brought about goes with the fault.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.tolerations import tolerates
from wherry.api.types import Obj
from wherry.kubelet.eviction import texts
from wherry.kubelet.eviction.ranking import is_critical
from wherry.kubelet.quality import qos_class

MEMORY_PRESSURE, DISK_PRESSURE = "MemoryPressure", "DiskPressure"
_MEMORY_TAINT = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


class Pressure:
    """`conditions`: those that are True now."""

    def __init__(self, transition_seconds: float) -> None:
        self._transition_seconds = transition_seconds
        self._real: dict[str, float] = {}
        self._injected: dict[str, float] = {}
        self.conditions: tuple[str, ...] = ()

    def observe(self, real: Iterable[str], injected: Iterable[str], fault: bool, now: float) -> bool:
        """What thresholds that are met say now: of true readings, of `injected` ones while there is a `fault`. Whether the
        conditions changed. `now`: of the monotonic clock."""
        self._real.update(dict.fromkeys(real, now))
        if fault:
            self._injected.update(dict.fromkeys(injected, now))
        else:
            self._injected.clear()
        before = self.conditions
        self.conditions = tuple(each for each in (DISK_PRESSURE, MEMORY_PRESSURE) if self._holds(each, now))
        return self.conditions != before

    def _holds(self, condition: str, now: float) -> bool:
        """The moment it is observed always counts, be the period zero."""
        moments = (seen[condition] for seen in (self._real, self._injected) if condition in seen)
        return any(now == moment or now - moment < self._transition_seconds for moment in moments)

    def refuses(self, pod: Obj) -> str:
        """Why a new pod is not let in; empty when it is."""
        if not self.conditions or is_critical(pod):
            return ""
        if self.conditions == (MEMORY_PRESSURE,):
            tolerations = pod["spec"].get("tolerations") or ()
            if qos_class(pod) != "BestEffort" or tolerates(tolerations, _MEMORY_TAINT):
                return ""
        return texts.refused(self.conditions)
