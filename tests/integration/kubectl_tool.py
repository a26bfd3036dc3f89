"""Unmodified kubectl of every release at hand against one kubeconfig and namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

RELEASES = tuple(f"1.{minor}" for minor in range(25, 38))
PATIENCE = 60
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web, tier: front}, annotations: {note: first}}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 100%}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: nginx:1
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: admin, port: 81}]}
"""
IMAGE = "{.spec.template.spec.containers[0].image}"


def at_hand() -> dict[str, str]:
    """Release -> program: `kubectl.1.33` and others on PATH, or beside the program `kubectl` really is; else that one."""
    plain = shutil.which("kubectl")
    beside = Path(plain).resolve().parent if plain else None
    found: dict[str, str] = {}
    for release in RELEASES:
        path = shutil.which(f"kubectl.{release}") or (str(beside / f"kubectl.{release}") if beside else "")
        if path and os.access(path, os.X_OK):
            found[release] = path
    return found or ({"PATH": plain} if plain else {})


class Kubectl:
    """Call it with arguments; it fails the test unless kubectl succeeds."""

    def __init__(self, program: str, kubeconfig: Path, home: Path, namespace: str = "default") -> None:
        self.program = program
        self.namespace = namespace
        self._environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    def command(self, *arguments: str) -> list[str]:
        return [self.program, "--namespace", self.namespace, *arguments]

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Whatever it answers."""
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.returncode == 0, f"{self.program} {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, stdin: str = "") -> str:
        """What it says on standard error when it must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"{self.program} {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self("get", *arguments, "-o", "json"))

    def path(self, expression: str, *arguments: str) -> str:
        """`get -o jsonpath=…`."""
        return self("get", *arguments, "-o", f"jsonpath={expression}")

    @contextmanager
    def lines(self, *arguments: str, stderr: int | None = None) -> Iterator[Iterator[str]]:
        """Its lines as they come; it is ended with the block."""
        process = subprocess.Popen(
            self.command(*arguments), env=self._environment, stdout=subprocess.PIPE, stderr=stderr,
            stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


PROGRAMS = at_hand()
_NONE = pytest.param("none", marks=pytest.mark.skip(reason="no kubectl on PATH"))
_NEWEST = list(PROGRAMS)[-1:]
every_release = pytest.mark.parametrize("release", list(PROGRAMS) or [_NONE])
oldest_and_newest = pytest.mark.parametrize("release", sorted({*list(PROGRAMS)[:1], *_NEWEST}) or [_NONE])
newest = pytest.mark.parametrize("release", _NEWEST or [_NONE])
