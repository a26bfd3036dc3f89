"""What may become scarce on a node, and from where on it is: `memory.available<100Mi,nodefs.available<10%`. Pure.

Syntax and words are those of the kubelet's `--eviction-hard`. Images and writable layers lie on the same file system as
volumes and logs here, so the signals of `imagefs` and `containerfs` would say what those of `nodefs` say, and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from wherry.api.quantity import Quantity, QuantityError

MEMORY, DISK, INODES = "memory.available", "nodefs.available", "nodefs.inodesFree"
RESOURCES = {MEMORY: "memory", DISK: "ephemeral-storage", INODES: "inodes"}
"""What is reclaimed by evicting, in the words of messages; memory comes first, as in the kubelet."""
CONDITIONS = {MEMORY: "MemoryPressure", DISK: "DiskPressure", INODES: "DiskPressure"}
DEFAULT = "memory.available<100Mi,nodefs.available<256Mi,nodefs.inodesFree<10k"
"""The kubelet says 10 % of the disk and 5 % of its inodes: a machine that is a node and nothing else is full by then. On a
developer's disk both are a normal day, so pods go only where the next write may fail."""
TRANSITION_SECONDS = 300.0  # kubelet's evictionPressureTransitionPeriod
_ELSEWHERE = ("imagefs.available", "imagefs.inodesFree", "containerfs.available", "containerfs.inodesFree")


class BadThreshold(ValueError):
    """The text says why, as the kubelet does."""


class Threshold(Struct, frozen=True):
    """Of `amount` (bytes, inodes) or of `share` of what there is; the other one is None."""

    signal: str
    amount: int | None = None
    share: float | None = None

    def quantity(self, capacity: int) -> int:
        """From where on it is met."""
        if self.share is not None:
            return int(capacity * self.share)
        return self.amount or 0


class Reading(Struct, frozen=True):
    """What is left of how much, in bytes or inodes."""

    available: int
    capacity: int


def parse(text: str) -> tuple[Threshold, ...]:
    """Several after commas; `0%` and `100%` are none. Raises BadThreshold."""
    found: dict[str, Threshold | None] = {}
    for statement in filter(None, text.split(",")):
        signal, less, value = statement.partition("<")
        if not less or "<" in value:
            raise BadThreshold(f"invalid eviction threshold syntax {statement}, expected <signal><operator><value>")
        if signal in _ELSEWHERE:
            raise BadThreshold(f"unsupported eviction signal {signal}: images lie on nodefs here")
        if signal not in RESOURCES:
            raise BadThreshold(f"unsupported eviction signal {signal}: use {', '.join(RESOURCES)}")
        if signal in found:
            raise BadThreshold(f"duplicate eviction threshold for {signal}")
        found[signal] = _percent(signal, value) if value.endswith("%") else _amount(signal, value)
    return tuple(each for signal in RESOURCES if (each := found.get(signal)) is not None)


def _percent(signal: str, value: str) -> Threshold | None:
    try:
        percent = float(value[:-1])
    except ValueError:
        raise BadThreshold(f"eviction percentage threshold {signal} is no number: {value}") from None
    if not percent >= 0:
        raise BadThreshold(f"eviction percentage threshold {signal} must be >= 0%: {value}")
    if percent > 100:
        raise BadThreshold(f"eviction percentage threshold {signal} must be <= 100%: {value}")
    return Threshold(signal, share=percent / 100) if 0 < percent < 100 else None


def _amount(signal: str, value: str) -> Threshold:
    try:
        quantity = Quantity.parse(value)
    except QuantityError as error:
        raise BadThreshold(f"eviction threshold {signal}: {error}") from None
    if quantity.value() <= 0:
        raise BadThreshold(f"eviction threshold {signal} must be positive: {value}")
    return Threshold(signal, amount=quantity.value())


def met(thresholds: tuple[Threshold, ...], readings: Mapping[str, Reading]) -> tuple[Threshold, ...]:
    """Those whose signal is below them; a signal that cannot be read meets none."""
    return tuple(
        each
        for each in thresholds
        if (reading := readings.get(each.signal)) is not None and reading.available < each.quantity(reading.capacity)
    )
