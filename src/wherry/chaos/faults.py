"""One fault: what it is, whom it strikes, until when. Pure, but for `Random` drawn from in the order of its chances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

API, DNS, NODE, PRESSURE, NETWORK, DISK = "api", "dns", "node", "pressure", "network", "disk"
KINDS = (API, DNS, NODE, PRESSURE, NETWORK, DISK)
LEASE_SECONDS = 5.0
"""How long a fault holds without being renewed."""


class BadFault(ValueError):
    """No component could act on it; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`where`: whom it strikes, by patterns (`*`, `?`, several after commas) of what its kind can be chosen by; what is not
    named is any. `what`: what happens then. `share`: of the chances it has, how many it takes, decided by `seed`. `until`: Unix
    seconds. `ends`: of a fault of the network, the addresses that `from` and `to` are now."""

    name: str
    kind: str
    where: Mapping[str, str] = field(default_factory=dict)
    what: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    seed: int = 0
    until: float = 0.0
    ends: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadFault(f"there is no fault {self.kind!r}: use {', '.join(KINDS)}")
        if not 0 < self.share <= 1:
            raise BadFault(f"a share of {self.share}: it must be above 0 and at most 1")

    def holds(self, now: float) -> bool:
        """A lease that ends later than one can be given is of a clock that has jumped: it does not hold either."""
        return now < self.until <= now + 2 * LEASE_SECONDS

    def strikes(self, **about: str | tuple[str, ...]) -> bool:
        """Whether something with these properties is meant; several spellings of one are as good as each other."""
        return all(matches(pattern, about.get(key, "")) for key, pattern in self.where.items())

    def written(self) -> dict[str, Any]:
        return asdict(self)


class Faults(Protocol):
    """Where a component finds those that hold now."""

    def active(self, kind: str) -> tuple[Fault, ...]:
        """Costs next to nothing while there are none."""
        ...

    def takes(self, fault: Fault) -> bool:
        """Whether the fault takes the chance it has now: `share` of them, in the order that its seed decides."""
        ...


def matches(patterns: str, value: str | tuple[str, ...]) -> bool:
    values = (value,) if isinstance(value, str) else value
    return any(fnmatchcase(each, pattern.strip()) for pattern in patterns.split(",") for each in values)
