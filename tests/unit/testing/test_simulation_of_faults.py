"""The simulation: seeds pass, the same seed tells the same story, and bugs that were planted are found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.simulation import run

SEEDS = 20
TRACE = """
import logging
logging.getLogger("wherry").setLevel(logging.CRITICAL)
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.simulation import run
for seed in (3, 7):
    print(run(generate(seed)).trace())
"""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_goes_wrong_every_promise_is_kept(seed: int) -> None:
    assert [str(each) for each in run(generate(seed)).violations] == []


def test_a_seed_tells_the_same_story_whatever_the_order_of_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", TRACE],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            timeout=110,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1] != ""
