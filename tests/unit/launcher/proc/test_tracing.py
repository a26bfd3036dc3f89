"""A thread that is stopped for a moment always goes on, also one that took longer to stop than anybody waited."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from wherry.launcher.proc import tracing


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_one_that_stopped_too_late_goes_on_once_another_is_stopped() -> None:
    with subprocess.Popen(["sleep", "60"]) as late, subprocess.Popen(["sleep", "60"]) as other:
        try:
            if not tracing.interrupt(late.pid):
                pytest.skip("nothing may be traced here")
            tracing.release(late.pid)  # at once: it hardly stands yet
            while status(late.pid)["TracerPid"] != "0":
                tracing.interrupt(other.pid)
                tracing.registers(other.pid)
                tracing.release(other.pid)
            assert status(late.pid)["State"][0] in "SR"
        finally:
            late.kill()
            other.kill()
