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
import os, time

def test_that_is_interrupted(system):
    with open("told.new", "w") as told:
        told.write(f"{os.getpid()} {system.folder}")
    os.rename("told.new", "told")
    time.sleep(600)
"""
ALONE = ("-p", "no:xdist")
WORKER = ("-n", "1", "--max-worker-restart", "0")


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if reason := unavailable():
        pytest.skip(reason)


@pytest.fixture(params=[ALONE])
def interrupted(request, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:  # type: ignore[no-untyped-def]
    """A run of pytest in the middle of a test, the process the test is in, and the directory of its system."""
    (tmp_path / "test_waiting.py").write_text(WAITING)
    temporary, told = tmp_path / "tmp", tmp_path / "told"
    temporary.mkdir()
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:schemathesis", *request.param]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments, "--rootdir", str(tmp_path), str(tmp_path)],
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as run:
        try:
            until(lambda: told.exists() or run.poll() is not None, "the test runs", 60)
            pid, _, folder = told.read_text().partition(" ")
            yield run, int(pid), Path(folder)
        finally:
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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted_leaves_nothing(how: signal.Signals, interrupted) -> None:  # type: ignore[no-untyped-def]
    run, pid, folder = interrupted
    pids = _running(folder)
    assert len(pids) >= 5
    assert pid == run.pid
    run.send_signal(how)
    until(lambda: not folder.exists(), "its directory is gone")
    until(lambda: _none_is_left(pids), "its processes have ended")


@pytest.mark.parametrize("interrupted", [WORKER], indirect=True)
def test_a_worker_that_is_killed_leaves_nothing(interrupted) -> None:  # type: ignore[no-untyped-def]
    run, pid, folder = interrupted
    pids = _running(folder)
    assert len(pids) >= 5
    assert pid != run.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not folder.exists(), "its directory is gone")
    until(lambda: _none_is_left(pids), "its processes have ended")


def test_a_run_killed_with_its_watchdog_is_cleared_up_by_the_next(interrupted, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    run, _, folder = interrupted
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
