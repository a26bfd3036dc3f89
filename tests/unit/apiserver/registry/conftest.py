"""What tests of the kinds' rules share."""

from __future__ import annotations

import pytest
from recorded_exchanges import World


@pytest.fixture
async def world() -> World:
    made = World()
    await made.prepare()
    return made
