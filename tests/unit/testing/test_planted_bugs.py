"""Bugs planted into parts of the control plane, each of which the simulation must find within a few seeds."""

from __future__ import annotations

from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.simulation import run
from wherry.testing.simulation.world import Seams

SEEDS_MAX = 40


def found(seams: Seams | None = None) -> set[str]:
    """The rules broken in the first seed that breaks any."""
    for seed in range(SEEDS_MAX):
        outcome = run(generate(seed), seams)
        if outcome.violations:
            return set(outcome.rules)
    return set()


class HastyDisk(Disk):
    """Says that everything is on the disk as soon as it was written."""

    def sync(self) -> None:
        if len(self.unsynced) > 20:
            super().sync()


def test_an_acknowledgement_before_the_fsync_is_found() -> None:
    assert found(Seams(disk=HastyDisk)) & {"watch", "acknowledged", "list"}
