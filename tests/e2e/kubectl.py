"""Unmodified kubectl against one system and namespace."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from wherry_system import PATIENCE, WherrySystem

VERSIONS = ("1.33", "1.31", "1.29", "1.27")  # as far apart as anyone may use against one server


def found() -> dict[str, str]:
    """Release -> path: what lies beside the kubectl of PATH, else that one itself."""
    first = shutil.which("kubectl")
    if first is None:
        return {}
    folder = Path(first).resolve().parent
    beside = {version: str(folder / f"kubectl.{version}") for version in VERSIONS}
    usable = {version: path for version, path in beside.items() if os.access(path, os.X_OK)}
    return usable or {"PATH": first}


KUBECTLS = found()
needs_kubectl = pytest.mark.skipif(not KUBECTLS, reason="there is no kubectl on PATH")


@dataclass(frozen=True)
class Kubectl:
    """Call it with arguments; it fails the test unless kubectl succeeds."""

    path: str
    system: WherrySystem
    namespace: str = "default"
    user_flags: tuple[str, ...] = field(default=())

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [self.path, "--namespace", self.namespace, *self.user_flags, *arguments]

    def in_namespace(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)

    def run(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout: float = 60,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Whatever it answers."""
        return subprocess.run(
            self._command(arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env={**self.system.environment(), **(environment or {})},
            timeout=timeout,
            cwd="/",
        )

    def __call__(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout: float = 60,
        environment: dict[str, str] | None = None,
    ) -> str:
        done = self.run(*arguments, stdin=stdin, timeout=timeout, environment=environment)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """What it says on standard error when it must fail."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self("get", *arguments, "-o", "json"))

    def path_of(self, expression: str, *arguments: str) -> str:
        """`get -o jsonpath=…`."""
        return self("get", *arguments, "-o", f"jsonpath={expression}")

    def apply(self, *objects: dict[str, Any] | str) -> str:
        """Dicts or YAML texts."""
        text = "\n---\n".join(each if isinstance(each, str) else yaml.safe_dump(each) for each in objects)
        return self("apply", "-f", "-", stdin=text)

    def wait(self, what: str, condition: str, seconds: float = PATIENCE) -> str:
        """`condition` is what `--for` takes: `condition=Ready`, `delete`, `jsonpath={.status.phase}=Running`."""
        done = self.run("wait", what, f"--for={condition}", f"--timeout={seconds:.0f}s", timeout=seconds + 10)
        if done.returncode != 0:
            raise AssertionError(f"{what} never was {condition}: {done.stderr}\n{self.describe(what)}")
        return done.stdout

    def describe(self, what: str) -> str:
        """Enough to see why a wait failed."""
        state = self.run("get", what, "-o", "jsonpath={.status}").stdout[:2000]
        columns = "custom-columns=T:.type,R:.reason,K:.involvedObject.kind,N:.involvedObject.name,M:.message"
        return f"{state}\n{self.run('get', 'events', '-o', columns).stdout[-3000:]}"

    def ready(self, *pods: str, seconds: float = PATIENCE) -> None:
        for pod in pods:
            self.wait(f"pod/{pod}", "condition=Ready", seconds)

    def event(self, pattern: str, seconds: float = PATIENCE) -> str:
        """The first event that matches, as `Type Reason kind/name: message`; waits for it by a watch."""
        columns = "custom-columns=T:.type,R:.reason,K:.involvedObject.kind,N:.involvedObject.name,M:.message"
        with self.start("get", "events", "--watch", "--no-headers", "-o", columns) as watch:
            return watch.line(pattern, seconds)

    def start(self, *arguments: str) -> Running:
        """kubectl in the background; use it in a `with` block."""
        return Running(self._command(arguments), self.system.environment())


class Running:
    """A program whose output is read line by line as it comes (standard error too)."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            bufsize=1,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def line(self, pattern: str, seconds: float = PATIENCE) -> str:
        """The next line that matches. Raises AssertionError with all that came instead."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                line = None
            if line is None:
                shown = "\n".join(self.lines)
                raise AssertionError(f"no line matches {pattern!r} from {' '.join(self.command)}; it said:\n{shown}")
            self.lines.append(line)
            if re.search(pattern, line):
                return line

    def end(self, seconds: float = PATIENCE) -> int:
        """Its exit code once it ends by itself."""
        return self.process.wait(seconds)

    def rest(self, seconds: float = PATIENCE) -> str:
        """Everything it says until it ends, with what was read before."""
        end = time.monotonic() + seconds
        while (line := self._queue.get(timeout=max(end - time.monotonic(), 0.001))) is not None:
            self.lines.append(line)
        return "\n".join(self.lines)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def newest(system: WherrySystem) -> Kubectl:
    """The first of `KUBECTLS`; only for tests that need one."""
    return Kubectl(next(iter(KUBECTLS.values())), system)
