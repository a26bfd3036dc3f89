"""What happens in one simulation, as data: operations of users and faults of the world, each with a moment and a seed.

Nothing here depends on what the simulation will do, and no part on another: one may be left out and the others stay the
same, which is how a failure is made small.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Operation:
    """What a user does at second `at`: `verb` to the object `kind` `namespace`/`name`. `number` and `seed` decide details."""

    at: float
    verb: str
    kind: str
    namespace: str
    name: str
    number: int
    seed: int

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.at:7.3f}  {self.verb} {self.kind} {where} {self.number}"


@dataclass(frozen=True, slots=True)
class Fault:
    """From second `at` on, for `seconds`: `kind` happens to `target`, as strongly as `amount` says."""

    at: float
    seconds: float
    kind: str
    target: str
    amount: float
    seed: int

    def __str__(self) -> str:
        return f"{self.at:7.3f}  FAULT {self.kind} of {self.target or 'everything'} for {self.seconds:.2f} s ({self.amount:.3g})"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`alone`: components that are processes of their own, which may crash and lag each for itself. `nodes` pretend."""

    seed: int
    operations: tuple[Operation, ...] = ()
    faults: tuple[Fault, ...] = ()
    alone: tuple[str, ...] = ()
    nodes: int = 3
    seconds: float = field(default=60.0)
    """How long operations and faults go on."""
    window: int = 4096
    """How many changes storage can tell of; older ones are compacted away, on the disk too."""

    def __len__(self) -> int:
        return len(self.operations) + len(self.faults)

    def lines(self) -> list[str]:
        """In the order in which they happen."""
        timed = [(each.at, str(each)) for each in self.operations] + [(each.at, str(each)) for each in self.faults]
        return [line for _, line in sorted(timed)]
