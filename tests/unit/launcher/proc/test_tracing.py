"""A thread that is stopped for a moment always goes on, also one that took longer to stop than anybody waited."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from wherry.launcher.proc import tracing
from wherry.launcher.proc.outcomes import GoneError


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_what_comes_too_late_is_done_when_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "STOP_LOOKS", 0)
    seen: list[int] = []
    with subprocess.Popen(["sleep", "60"]) as late:
        try:
            if not tracing.interrupt(late.pid):
                pytest.skip("nothing may be traced here")
            tracing.once_stopped(late.pid, lambda values: seen.append(len(values)))
            assert (seen, list(tracing.late)) == ([], [late.pid])
            while tracing.late:
                tracing.settle_late()
            assert seen == [27]
            assert status(late.pid)["TracerPid"] == "0"
            assert status(late.pid)["State"][0] in "SRD"
        finally:
            late.kill()


def test_who_ends_instead_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with subprocess.Popen(["sleep", "60"]) as process:
        if not tracing.interrupt(process.pid):
            process.kill()
            pytest.skip("nothing may be traced here")
        process.kill()
        while status(process.pid)["State"][0] != "Z":
            pass
        with pytest.raises(GoneError):
            tracing.once_stopped(process.pid, lambda values: seen.append(len(values)))
        monkeypatch.setattr(tracing, "STOP_LOOKS", 0)
        tracing.once_stopped(process.pid, lambda values: seen.append(len(values)))
        tracing.settle_late()
    assert (seen, tracing.late) == ([], {})
