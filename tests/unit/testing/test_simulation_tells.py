"""What the simulation says of a failure, whatever fails: a promise, a checker, a seed without end, a process."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import pytest

from wherry.controllers.deployment.sizes import Bounds
from wherry.testing.simulation.checkers.binding import Binding
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.many import Tally
from wherry.testing.simulation.report import text
from wherry.testing.simulation.scenario import Fault, Operation, Scenario
from wherry.testing.simulation.shrink import shrink
from wherry.testing.simulation.simulation import run

MADE = Operation(1.0, "create", "Deployment", "default", "a", 4, 1)
ROLLED = Operation(5.0, "image", "Deployment", "default", "a", 3, 1)
ENDLESS = """
from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.limit import run_limited
from wherry.testing.simulation.scenario import Scenario

def never(disk, rows):
    while True:
        pass

Disk.write = never
print(*run_limited(Scenario(1), 0.5).violations)
"""


def test_a_failure_is_told_with_its_seed_and_the_requests_that_led_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounds, "available_min", property(lambda self: 0))
    scenario = Scenario(43, (MADE, ROLLED), nodes=1)
    told = text(43, scenario, run(scenario)).splitlines()
    assert told[0] == "seed 43 FAILED"
    assert told[1].startswith("  maxUnavailable: pods default/a-")
    requests = told[told.index("requests:") + 1 : -1]
    assert any("users: PATCH /apis/apps/v1/namespaces/default/deployments/a -> 200" in line for line in requests)
    assert any("DELETE /api/v1/namespaces/default/pods/a-" in line for line in requests)
    assert float(requests[-1].split()[0]) < 5.05, "nothing after the violation"
    assert len(requests) <= 40
    assert not [line for line in requests if "/nodes/" in line or "serviceaccounts" in line]
    assert told[-1] == "again: python -m wherry.testing.simulation --seed 43"


def test_a_failure_is_made_small() -> None:
    whole = generate(1)
    needed = {whole.operations[3], whole.faults[1]}
    small = shrink(whole, lambda one: needed <= {*one.operations, *one.faults})
    assert {*small.operations, *small.faults} == needed


def test_a_checker_that_raises_is_a_failure_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Any, event: Any, before: Any) -> Iterator[Any]:
        raise KeyError("spec")

    monkeypatch.setattr(Binding, "see", breaks)
    monkeypatch.setattr(Bounds, "available_min", property(lambda self: 0))
    outcome = run(Scenario(1, (MADE, ROLLED), nodes=1))
    told = [str(each) for each in outcome.violations if each.rule == "checker"]
    assert len(told) == 1
    assert told[0].startswith("checker: Binding: KeyError: 'spec' (test_simulation_tells.py:")
    assert "maxUnavailable" in outcome.rules


def test_a_world_that_cannot_begin_is_a_failure() -> None:
    scenario = replace(Scenario(1), alone=("node agent 7",))
    assert [each.rule for each in run(scenario).violations] == ["simulation"]


def test_a_seed_without_end_is_given_up_and_told() -> None:
    command = [sys.executable, "-c", ENDLESS]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "endless: no end after 0.5 s of real time: Endless: too slow" in told


def test_a_process_that_ended_is_a_failure_of_its_seed() -> None:
    tally, said, future = Tally(), [], Future[Any]()
    future.set_exception(BrokenProcessPool("A process in the process pool was terminated abruptly"))
    tally.take(5, future, said.append)
    assert (tally.failed, tally.broken) == ([5], True)
    assert said == [
        "seed 5 failed: its process, or the one beside it, ended: A process in the process pool was terminated abruptly\n"
    ]


FAULTS = (
    Fault(3.0, 3.0, "errors", "controller-manager", 0.3, 1),
    Fault(4.0, 3.0, "late", "", 1.0, 2),
    Fault(5.0, 3.0, "lost", "", 0.3, 3),
    Fault(3.0, 9.0, "hasty", "users", 0.9, 4),
    Fault(6.0, 9.0, "lag", "", 5.0, 5),
    Fault(10.0, 1.0, "cut", "", 1.0, 6),
    Fault(12.0, 1.0, "expire", "", 1.0, 7),
    Fault(2.0, 9.0, "slow disk", "", 1.0, 8),
    Fault(11.0, 2.0, "full disk", "", 0.0, 9),
    Fault(3.0, 5.0, "clock", "", 300.0, 10),
    Fault(8.0, 5.0, "twin", "scheduler", 0.0, 11),
    Fault(14.0, 1.0, "blackout", "server", 1.0, 12),
    Fault(20.0, 1.0, "blackout", "", 1.0, 13),
    *(Fault(16.0, 1.0, "crash", name, 0.0, 14) for name in ("scheduler", "node agent 1", "nodes", "garbage-collector")),
)


def test_every_fault_meets_somebody_and_is_counted() -> None:
    counter = Operation(1.0, "create", "ConfigMap", "default", "a", 1, 1)
    counts = [Operation(float(at), "count", "ConfigMap", "default", "a", 5, at) for at in range(2, 22)]
    scales = [Operation(float(at), "scale", "Deployment", "default", "a", at % 6, at) for at in range(2, 22)]
    alone = ("garbage-collector", "node agent 1")
    struck: Counter[str] = Counter()
    for seed in (1, 2, 3):
        outcome = run(Scenario(seed, (MADE, counter, *counts, *scales), FAULTS, alone, nodes=3))
        assert [str(each) for each in outcome.violations] == []
        struck += outcome.struck
    assert set(struck) == {
        "answers lost", "answers not waited for", "clock jumps", "crashes of garbage-collector", "crashes of node agent 1",
        "crashes of nodes", "crashes of scheduler", "crashes of the API server", "crashes of controller-manager",
        "crashes that kept what was on its way", "crashes that lost what was on its way", "requests late",
        "requests refused", "second schedulers", "slow fsyncs", "watch events dropped", "watch events late",
        "watch events overtaken", "watches cut", "watches expired", "writers in conflict", "writes to a full disk",
    }  # fmt: skip
