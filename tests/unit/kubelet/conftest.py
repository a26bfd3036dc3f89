"""What tests of the kubelet share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kubelet_world import Scenario, World

from wherry.aio.virtual import run_virtual


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario in virtual time, with a world of its own."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            world = World(tmp_path)
            try:
                await scenario(world)
            finally:
                await world.runtime.close()

        run_virtual(main())

    return run
