"""Whole systems with real pods: one per tier for all tests of a worker, and one of their own for tests that break it.

As root both tiers run, `ns-user` as an ordinary user. Every test has a namespace of its own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import installation
import pytest
from kubectl import KUBECTLS, Kubectl, newest
from wherry_system import Tier, WherrySystem, until

from wherry.testing.launcher_process import ORDINARY_USER, ensure_user, is_root_of_machine

HERE = Path(__file__).parent
TIERS = ["ns-root", "ns-user", "proc"] if is_root_of_machine() else ["ns-user", "proc"]
if wanted := os.environ.get("WHERRY_TEST_TIERS"):
    TIERS = [tier for tier in TIERS if tier in wanted.split(",")]


DIFFERENT_IN_PROC = {
    "test_exec_on_a_terminal_that_is_resized": "terminals are the machine's: not /dev/pts/0",
    "test_the_caller_is_seen_as_itself": "accept() shows who calls by a loopback address; getpeername() by the pod's",
    "test_a_pod_sees_only_itself": "pods see the machine's processes and interfaces",
    "test_every_volume_type": "emptyDir of medium Memory lies on the disk, without a limit",
    "test_users_groups_and_read_only_roots": "every process runs as the user who started Wherry",
    "test_host_names_and_dns_files": "/proc/1 is the machine's",
    "test_liveness_restarts_what_fails": "the test looks for its container in /proc, where those of other pods are too",
    "test_a_user_with_a_single_id": "is about user namespaces",
}
"""What tier `proc` does not give, by the test that shows it in the others."""


def pytest_report_header() -> str:
    return f"kubectl: {', '.join(f'{version} ({path})' for version, path in KUBECTLS.items()) or 'none on PATH'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where both tiers run, older kubectls talk to the first one only: what they ask of the node is the same in both."""
    kept, left = [], []
    for item in items:
        if HERE not in item.path.parents:
            kept.append(item)
            continue
        item.add_marker("e2e")
        difference = DIFFERENT_IN_PROC.get(item.name.partition("[")[0])
        if difference and "proc" in item.name.partition("[")[2].rstrip("]").split("-"):
            item.add_marker(pytest.mark.skip(difference))
        chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        older = chosen.get("each_kubectl") not in (None, *list(KUBECTLS)[:1])
        (left if older and chosen.get("tier") != TIERS[0] else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what the system's processes said last."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name in ("system", "own_system"):
            system = item.funcargs.get(name)
            if isinstance(system, WherrySystem) and system.state.exists():
                report.sections.append((f"logs of the {system.tier.name} system", system.logs()))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Times that tests measured and did not judge."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    found = [(report.nodeid, *each) for report in reports for each in report.user_properties if report.when == "call"]
    if found:
        terminalreporter.section("measured")
    for test, what, value in found:
        terminalreporter.write_line(f"{value:>10}  {what}  ({test.rpartition('::')[2]})")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """`measured("API answers again", seconds)`: shown at the end of the run."""
    return lambda what, seconds: record_property(what, f"{seconds * 1000:.0f} ms")


@pytest.fixture(scope="session", params=TIERS)
def tier(request: pytest.FixtureRequest) -> Iterator[Tier]:
    """`ns-root` as root; the others as an ordinary user, made when we are root."""
    if not is_root_of_machine() or request.param == "ns-root":
        if request.param != "proc" and not _namespaces_work(request.param):
            pytest.skip("user namespaces are not allowed here")
        yield Tier(request.param)
        return
    if reason := installation.unavailable():
        pytest.skip(reason)
    ensure_user(ORDINARY_USER)
    folder = Path(tempfile.mkdtemp(prefix="wherry-e2e-python-"))
    folder.chmod(0o755)
    try:
        yield Tier(request.param, ORDINARY_USER, str(installation.install(folder)))
    finally:
        shutil.rmtree(folder)


def _namespaces_work(tier: str) -> bool:
    flags = ["-n", "-m"] if tier == "ns-root" else ["-U", "-r", "-n", "-m"]
    return subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def system(tier: Tier) -> Iterator[WherrySystem]:
    """A running system that tests share; whoever kills parts of it leaves it running."""
    system = WherrySystem(tier)
    try:
        system.start()
        yield system
    finally:
        system.close()


@pytest.fixture
def own_system(tier: Tier) -> Iterator[WherrySystem]:
    """A system for one test, not yet started."""
    system = WherrySystem(tier)
    try:
        yield system
    finally:
        system.close()


@pytest.fixture(params=list(KUBECTLS) or ["none"])
def each_kubectl(request: pytest.FixtureRequest, system: WherrySystem) -> Iterator[Kubectl]:
    """Every kubectl there is, each test in a namespace of its own."""
    if request.param not in KUBECTLS:
        pytest.skip("there is no kubectl on PATH")
    with _namespace(Kubectl(KUBECTLS[request.param], system)) as kubectl:
        yield kubectl


@pytest.fixture
def kubectl(system: WherrySystem) -> Iterator[Kubectl]:
    """The newest kubectl there is, in a namespace of its own."""
    if not KUBECTLS:
        pytest.skip("there is no kubectl on PATH")
    with _namespace(newest(system)) as kubectl:
        yield kubectl


class _namespace:
    """Make a namespace, wait until pods can be made in it, and delete it in the background afterwards."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl.in_namespace(f"e2e-{secrets.token_hex(3)}")

    def __enter__(self) -> Kubectl:
        name = self._kubectl.namespace
        self._kubectl("create", "namespace", name)
        until(lambda: self._kubectl.run("get", "serviceaccount", "default").returncode == 0, "service account default")
        return self._kubectl

    def __exit__(self, *_: object) -> None:
        self._kubectl("delete", "namespace", self._kubectl.namespace, "--wait=false")
