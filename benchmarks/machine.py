"""A system of its own to measure: started, looked into, stopped and removed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WHERRY = [sys.executable, "-m", "wherry"]
PORT = 16443  # not where a user's own system listens


class Machine:
    """`wherry up` in a temporary state directory."""

    def __init__(self, port: int = PORT) -> None:
        self._port = str(port)
        self.folder = Path(tempfile.mkdtemp(prefix="wherry-bench-"))
        self.place = ["--name", "bench", "--state-dir", str(self.folder / "state")]
        self.environment = {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def wherry(self, *arguments: str) -> str:
        command = [*WHERRY, arguments[0], *self.place, *arguments[1:]]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self, *arguments: str) -> float:
        """Seconds `wherry up` took."""
        begin = time.perf_counter()
        self.wherry("up", "--port", self._port, *arguments)
        return time.perf_counter() - begin

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.wherry("status", "-o", "json"))
        return found

    def server(self) -> list[str]:
        """Arguments of the load generator."""
        pki = Path(self.status()["stateDir"]) / "pki"
        files = {"-cacert": "ca.crt", "-cert": "admin.crt", "-key": "admin.key"}
        credentials = [part for option, name in files.items() for part in (option, str(pki / name))]
        return ["-base", self.status()["apiServer"], *credentials]

    def pids(self) -> dict[str, list[int]]:
        """Processes by role; the launcher is two, and what it has forked for pods counts as its own."""
        found = {item["role"]: [item["pid"]] for item in self.status()["processes"]}
        found["launcher"] += _descendants(found["launcher"][0])
        return found

    def close(self) -> None:
        self.wherry("down", "--delete")
        for leftover in self.folder.rglob("*"):
            leftover.unlink()
        self.folder.rmdir()


def pss_megabytes(pid: int) -> float:
    """Proportional set size: shared pages are counted once, divided among those who share them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1]) / 1024  # type: ignore[index]


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
