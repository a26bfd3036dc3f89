"""The pytest plugin in test runs of its own: fixtures, marks, what failures show, what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook

import wherry
import wherry.testing.report
import wherry.testing.simulated_logs

pytest_plugins = ["pytester"]
PLUGIN = "wherry.testing.plugin"


@pytest.fixture
def run(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> object:
    """Run a file's tests with the plugin, installed or not."""
    with wherry.ControlPlane():
        pass  # pytester forgets modules that are imported in a run, and some are not made to be imported twice
    installed = pytestconfig.pluginmanager.get_plugin("wherry") is not None
    arguments = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:asyncio", *([] if installed else ["-p", PLUGIN])]

    def go(text: str, apart: bool = False) -> pytest.RunResult:
        pytester.makepyfile(text)
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return start(*arguments)

    return go


def test_a_control_plane_for_each_test_with_the_options_of_its_mark(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import pytest

        pytestmark = pytest.mark.wherry(nodes=2)

        @pytest.mark.parametrize("time", [1, 2])
        def test_alone(control_plane, time):
            control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}})
            assert len(control_plane.list("nodes")) == 2

        @pytest.mark.wherry(nodes=1, kubernetes_version="1.30", start="2030-05-06T07:08:09Z")
        def test_nearest_mark(control_plane):
            assert len(control_plane.list("nodes")) == 1
            assert control_plane.clock.now.year == 2030

        @pytest.mark.wherry(node=1)
        def test_misspelt(control_plane):
            pass
        """
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*@pytest.mark.wherry(node=...) is not known: use kubernetes_version, nodes, *"])


def test_a_failure_shows_events_objects_and_last_lines(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        def test_it(control_plane):
            annotations = {"simulation.wherry.dev/run-for": "5s", "simulation.wherry.dev/exit-code": "3",
                           "simulation.wherry.dev/logs": "cannot reach the database"}
            control_plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations},
                                 "spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "i"}]}})
            big = {"name": "m", "image": "i", "resources": {"requests": {"cpu": "60"}}}
            control_plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containers": [big]}})
            control_plane.clock.advance("30m")
            control_plane.wait_for("pod", "p", "jsonpath={.status.phase}=Succeeded", timeout="1m")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*TimeoutError: pod p: not jsonpath*",
            "*wherry: objects*",
            "pod default/p: Failed; m: terminated Error*",
            "*wherry: events*",
            "2026-01-01T00:00:00Z Normal Scheduled pod/p: Successfully assigned default/p to simulated-0",
            "2026-01-01T00:30:0?Z Warning FailedScheduling pod/q: 0/1 nodes are available: 1 Insufficient cpu.*(x*)",
            "*wherry: logs*",
            "pod default/p: cannot reach the database",
        ]
    )


def test_what_the_api_refuses_is_told_where_the_test_asked(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        def test_it(control_plane):
            control_plane.get("deployment", "web")
        """
    )
    result.stdout.fnmatch_lines(['*StatusError: deployments.apps "web" not found', "", "test_what*.py:2: StatusError"])
    assert "in_process" not in result.stdout.str()


def test_a_projects_own_fixtures_take_the_place_of_ours(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import sys

        import pytest

        @pytest.fixture
        def control_plane():
            return "mine"

        @pytest.fixture
        def system():
            return "mine too"

        def test_it(control_plane, system):
            assert (control_plane, system) == ("mine", "mine too")
            assert not [name for name in sys.modules if name.startswith(("wherry.api", "wherry.cluster"))]
            assert False, "shown without us"
        """,
        apart=True,
    )
    result.assert_outcomes(failed=1)
    assert "wherry:" not in result.stdout.str()
    assert "shown without us" in result.stdout.str()


def test_examples_of_the_page_run(run) -> None:  # type: ignore[no-untyped-def]
    """Every Python block of docs/testing.md that has a test in it."""
    page = Path(__file__).parents[3] / "docs" / "testing.md"
    blocks = [part.partition("```")[0] for part in page.read_text().split("```python\n")[1:]]
    tests = [block for block in blocks if "def test_" in block]
    assert len(tests) >= 3
    result = run("\n\n".join(tests))
    result.assert_outcomes(passed=sum(block.count("def test_") for block in tests))


def test_only_what_is_for_tests_has_its_asserts_rewritten() -> None:
    """pytest would rewrite all that comes with a plugin, and the control plane be slower by half."""
    import wherry.apiserver.app
    import wherry.testing.contracts.transport as contract

    def rewritten(module: ModuleType) -> bool:
        assert module.__spec__ is not None
        return isinstance(module.__spec__.loader, AssertionRewritingHook)

    assert (rewritten(wherry.apiserver.app), rewritten(contract)) == (False, True)
