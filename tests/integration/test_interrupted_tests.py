"""Runs of pytest that are interrupted while tests have control planes: no process, file or socket of theirs is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

WAITING = """
import os, sys, time

def test_that_is_interrupted(control_plane, capfd):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "m", "image": "i"}]}}
    control_plane.apply(pod)
    port = control_plane.serve().rpartition(":")[2]
    control_plane.kubeconfig
    with open("told.new", "w") as told:
        told.write(f"{os.getpid()} {port}")
    os.rename("told.new", "told")
    time.sleep(600)
"""
PATIENCE = 60.0
LISTEN = "0A"  # as /proc/net/tcp has it


@contextmanager
def interrupted(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A run in the midst of a test; the process the test runs in, and the port its control plane listens on."""
    (folder / "test_waiting.py").write_text(WAITING)
    (folder / "tmp").mkdir()
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:schemathesis",
        *options,
        "--rootdir",
        str(folder),
        str(folder),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as run:
        try:
            until(lambda: (folder / "told").exists() or run.poll() is not None, "the test runs")
            pid, port = map(int, (folder / "told").read_text().split())
            (folder / "told").unlink()
            yield run, pid, port
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def until(condition, what: str) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)


def nothing_is_left(folder: Path, port: int, listening: str) -> None:
    temporary = folder / "tmp"
    until(lambda: not list(temporary.glob("wherry-*")), "its files are gone")
    until(lambda: not _speak_of(str(folder)), "its processes have ended")
    assert listener(port) != listening


def listener(port: int) -> str:
    """Which socket listens on a port of this machine: its inode, since the port may be somebody else's soon; "" for none."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next((line[9] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == LISTEN), "")


def _speak_of(text: str) -> list[int]:
    """Processes that were started with it, or with it in their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            told = (each / "cmdline").read_bytes() + (each / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in told:
            found.append(int(each.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted_leaves_nothing(how: signal.Signals, tmp_path: Path) -> None:
    with interrupted(tmp_path, "-p", "no:xdist") as (run, pid, port):
        assert pid == run.pid
        assert list((tmp_path / "tmp").glob("wherry-*"))
        listening = listener(port)
        assert listening
        run.send_signal(how)
        run.wait(PATIENCE)
        nothing_is_left(tmp_path, port, listening)


def test_a_worker_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    with interrupted(tmp_path, "-n", "1", "--max-worker-restart", "0") as (run, pid, port):
        assert pid != run.pid
        listening = listener(port)
        assert listening
        os.kill(pid, signal.SIGKILL)
        run.wait(PATIENCE)
        nothing_is_left(tmp_path, port, listening)
