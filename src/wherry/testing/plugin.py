"""The pytest plugin that comes with Wherry: the fixtures `control_plane` and `system`, and what a failed test's report shows.

Nothing of Wherry is imported before a fixture is used. Fixtures of the same names in a project's own files take their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wherry.testing.cluster import Cluster
    from wherry.testing.control_plane import ControlPlane
    from wherry.testing.system import System

MARK = "wherry"
_CLUSTERS = pytest.StashKey[list["Cluster"]]()
OPTIONS = ("kubernetes_version", "nodes", "seed", "virtual_time", "start")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """The first hook there is, before conftest files are read.

    pytest rewrites the asserts of whatever comes in one distribution with a plugin, so that they explain themselves. Ours would:
    the control plane would take half as long again. Nothing public turns it off for a package; where pytest has changed within,
    tests are slower and pass as before.
    """
    hook = getattr(pluginmanager, "rewrite_hook", None)
    marked, known = getattr(hook, "_must_rewrite", None), getattr(hook, "_marked_for_rewrite_cache", None)
    if isinstance(marked, set) and isinstance(known, dict):
        marked.difference_update({name for name in marked if name.partition(".")[0] == "wherry"})
        known.clear()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARK}(kubernetes_version='1.36', nodes=1, seed=0, virtual_time=True, start=...): "
        "how the fixture control_plane of this test is made; the nearest mark that names an option counts",
    )


@pytest.fixture
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A Kubernetes control plane of this test's own, in virtual time; `@pytest.mark.wherry(...)` says otherwise."""
    from wherry.testing.control_plane import ControlPlane

    with ControlPlane(**_options(request.node)) as plane:
        clusters = request.node.stash.setdefault(_CLUSTERS, [])
        clusters.append(plane)
        yield plane
    clusters.remove(plane)  # tests stay in memory until the run ends, what they used need not


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """A real system with real pods, one for the whole run (of each worker of pytest-xdist)."""
    from wherry.testing.system import System, unavailable

    if reason := unavailable():
        pytest.skip(reason)
    with System() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    clusters = [*item.stash.get(_CLUSTERS, []), *_real(item)]
    if clusters and call.excinfo is not None and not item.config.getoption("fulltrace"):
        from wherry.testing.report import without_us

        call.excinfo = without_us(call.excinfo)
    report: Any = yield
    if report.failed and report.when == "call":
        for each in clusters:
            from wherry.testing.report import sections  # only here is anything to tell

            report.sections.extend(sections(each))
    return report  # type: ignore[no-any-return]


def _real(item: pytest.Item) -> list[Cluster]:
    """The system, where the test used it and it is ours."""
    value = getattr(item, "funcargs", {}).get("system")
    if value is None or type(value).__module__ != "wherry.testing.system":
        return []
    return [value]


def _options(node: pytest.Item) -> dict[str, Any]:
    """Of all marks, the nearest first."""
    options: dict[str, Any] = {}
    for mark in node.iter_markers(MARK):
        if mark.args:
            raise pytest.UsageError(f"@pytest.mark.{MARK} takes options by name: {', '.join(OPTIONS)}")
        for name, value in mark.kwargs.items():
            if name not in OPTIONS:
                raise pytest.UsageError(f"@pytest.mark.{MARK}({name}=...) is not known: use {', '.join(OPTIONS)}")
            options.setdefault(name, value)
    return options
