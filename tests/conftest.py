"""How tests are spread over worker processes: a file's tests together, and half of the end-to-end tests of a tier together; and
what other programs' clients leave.

Systems and other expensive fixtures belong to a file or a tier. pytest-xdist's own way to say so, `xdist_group`, renames
tests, which pytest 9.2 no longer lets it do.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

pytest.register_assert_rewrite("wherry.testing.contracts")

hypothesis.settings.register_profile(
    "wherry", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("wherry")
"""The same examples on every machine, however busy it is: no test judges time."""


@pytest.fixture
def sockets_left(_sockets_left_by_a_file: None) -> Iterator[None]:
    """For clients that end their loop before the connections they gave up have closed: Python would complain in some later
    test, of this file or of another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.fixture(scope="module")
def _sockets_left_by_a_file() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # tests run in one process then
    pass
else:

    class _ByFileOrTier(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            tier = re.search(r"\[(ns-root|ns-user|proc)\b", test)
            half = "kubectl" if "test_kubectl" in file or "test_rollouts" in file else "rest"
            return f"{tier[1]} {half}" if tier and "e2e/" in file else file

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
        return _ByFileOrTier(config, log) if config.getvalue("dist") in ("load", "loadgroup") else None
