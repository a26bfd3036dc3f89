"""What tests of tier `proc` without a launcher share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_collected() -> Iterator[None]:
    """For who counts this process's descriptors: those that other tests left to the garbage collector stay open meanwhile."""
    gc.disable()
    yield
    gc.enable()
