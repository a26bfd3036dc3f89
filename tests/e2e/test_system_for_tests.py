"""`wherry.testing.system.System`, what the pytest fixture `system` gives: real pods, and nothing left afterwards, however
the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wherry_system import until

from wherry.cluster import processes
from wherry.cluster.paths import State
from wherry.testing import watchdog
from wherry.testing.system import System, unavailable
from wherry.testing.temporary import sweep

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "wherry.dev/host", "command": ["sh", "-c", "echo hello"]}],
    },
}
WAITING = """
import sys

def test_that_is_interrupted(system, capfd):
    with capfd.disabled():
        print("folder", system.folder, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if reason := unavailable():
        pytest.skip(reason)


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run of pytest in the middle of a test, and the directory of its system."""
    (tmp_path / "test_waiting.py").write_text(WAITING)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-s", "--rootdir", str(tmp_path), str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as run:
        assert run.stdout is not None
        line = next(line for line in run.stdout if "folder " in line)
        yield run, Path(line.partition("folder ")[2].strip())
        run.kill()


def _running(folder: Path) -> list[int]:
    """Every process of the system in that directory."""
    state = State(folder / "state")
    return [process.pid for each in state.run.glob("*.pid") if (process := processes.running(each)) is not None]


def _none_is_left(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_real_pod_runs_and_nothing_is_left() -> None:
    with System() as system:
        system.apply(POD)
        system.wait_for("pod", "p", "jsonpath={.status.phase}=Succeeded", timeout="60s")
        assert system.logs("p") == "hello\n"
        assert system.events("pod", "p")[0]["reason"] == "Scheduled"
        pids = _running(system.folder)
        assert len(pids) >= 5
    assert not system.folder.exists()
    until(lambda: _none_is_left(pids), "its processes have ended")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_leaves_nothing(how: signal.Signals, interrupted) -> None:  # type: ignore[no-untyped-def]
    run, folder = interrupted
    pids = _running(folder)
    assert len(pids) >= 5
    run.send_signal(how)
    until(lambda: not folder.exists(), "its directory is gone")
    until(lambda: _none_is_left(pids), "its processes have ended")


def test_a_run_killed_with_its_watchdog_is_cleared_up_by_the_next(interrupted, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    run, folder = interrupted
    pids = _running(folder)
    (guard,) = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
    assert b"wherry.testing.watchdog" in Path(f"/proc/{guard}/cmdline").read_bytes()
    os.kill(guard, signal.SIGKILL)
    run.kill()
    run.wait()
    assert folder.exists()
    assert not _none_is_left(pids)
    monkeypatch.setattr("tempfile.tempdir", str(folder.parent))
    sweep("wherry-system-", watchdog.end_system)
    assert not folder.exists()
    until(lambda: _none_is_left(pids), "its processes have ended")
