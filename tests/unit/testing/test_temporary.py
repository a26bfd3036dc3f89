"""Directories held by a process: theirs alone, gone with it, and no stranger's is touched."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from wherry.testing.temporary import HOLDER, Held, sweep

PREFIX = "wherry-held-"
HOLDING = f"""
import signal, sys
from wherry.testing.temporary import Held
print(Held({PREFIX!r}).path, flush=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_what_a_killed_process_left_goes_at_the_next_look_and_what_is_held_stays(tmp_path: Path) -> None:
    ended: list[Path] = []
    mine = Held(PREFIX)
    (tmp_path / f"{PREFIX}a-strangers").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        (folder / "more").mkdir()
        sweep(PREFIX, ended.append)
        assert (ended, folder.exists()) == ([], True)
        other.send_signal(signal.SIGKILL)
    sweep(PREFIX, ended.append)
    assert (ended, folder.exists()) == ([folder], False)
    assert sorted(tmp_path.iterdir()) == sorted([mine.path, tmp_path / f"{PREFIX}a-strangers"])
    mine.release()
    mine.release()
    assert not mine.path.exists()


def test_a_link_into_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / HOLDER).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(precious)
    sweep(PREFIX)
    assert (precious / HOLDER).exists()


def test_a_process_that_is_just_ending_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end of a watchdog's pipe may be closed before its lock is given back."""
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        lock = fcntl.flock

        def held_a_little_longer(fd: int, operation: int) -> None:
            with suppress(BlockingIOError):
                lock(fd, operation | fcntl.LOCK_NB)
                pytest.fail("it is not held")
            other.send_signal(signal.SIGKILL)
            lock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", held_a_little_longer)
        sweep(folder.name, wait=True)
    assert not folder.exists()
