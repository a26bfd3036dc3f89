"""A real system with real pods for a test run: `wherry up` with a state directory, a name, a port and a kubeconfig of its own.

Gone with everything in it when the run ends, also when it is killed. Its time is real.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from wherry.aio.clock import RealClock
from wherry.api.scheme import Resource, Scheme
from wherry.client.kubeconfig_load import load, resolve
from wherry.client.rest import Client
from wherry.testing import watchdog
from wherry.testing.bridge import BridgedTransport
from wherry.testing.chaos import Chaos, Renewed
from wherry.testing.cluster import Cluster
from wherry.testing.temporary import Held, sweep
from wherry.testing.verbs import Verbs

T = TypeVar("T")
PREFIX = "wherry-system-"
"""Of its directory, which holds all there is of it."""
PORTS = range(20000, 30000)
"""Of the API; `wherry up` takes the next one that is free. None that the kernel gives to connections (from 32768 on): one of them
could have it before the API has."""
COMMAND_SECONDS = 120
POLL_SECONDS = 0.1


class SystemFailed(Exception):
    """`wherry up` said no; the text is its own."""


def unavailable() -> str:
    """Why no system with real pods can run here; "" if one can, in whatever tier."""
    asked = [sys.executable, "-m", "wherry", "doctor", "--state-dir", tempfile.gettempdir()]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        return "no tier can run pods on this machine: `wherry doctor` says why"
    return ""


class Remote:
    """Carries out calls on a loop of its own, in real time."""

    virtual = False

    def __init__(self) -> None:
        self.clock = RealClock()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="wherry client", daemon=True)
        self._thread.start()

    def now(self) -> float:
        return self.clock.time()

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    share = call

    def pass_time(self, until: float, stop_at_writes: bool) -> Future[None]:
        left = max(until - self.now(), 0.0)
        return self.call(self.clock.sleep(min(left, POLL_SECONDS) if stop_at_writes else left))

    def sleep(self, seconds: float) -> Future[None]:
        return self.call(self.clock.sleep(seconds))

    patience = 0.0

    def linger(self) -> Future[None]:
        """Never needed: its patience is that of whoever waits."""
        return self.sleep(POLL_SECONDS)

    def flow(self, on: bool) -> None:
        """Real time flows by itself."""

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class System(Cluster):
    """`with System() as system`; methods as `ControlPlane`'s, but for the clock."""

    def __init__(self, *options: str) -> None:
        """`options` of `wherry up` (`--nodes 2`)."""
        self.name = f"test-{secrets.token_hex(4)}"
        self._options = options

    def __enter__(self) -> System:
        sweep(PREFIX, watchdog.end_system)  # of runs that were killed together with their watchdogs
        self._held = Held(PREFIX)
        self.folder = self._held.path
        self._watchdog = watchdog.start(self.folder)
        try:
            self._up("--port", str(secrets.choice(PORTS)), *self._options)
            self.chaos = Chaos(self, Renewed(self.folder / "state" / "run" / "chaos"), real=True)
            self._calls = self._remote = Remote()
            self._transport = resolve(load([self.kubeconfig])).transport("wherry-testing")
            self._verbs = Verbs(Client(self._transport), _built_in, lambda: self._remote.clock.sleep(POLL_SECONDS))
            self.wait_for("serviceaccount", "default", bool, "60s")  # without it pods are refused
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._remote.call(self._transport.close()).result()
            self._remote.close()
        finally:
            self._remove()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def client(self) -> Client:
        return Client(BridgedTransport(self._remote, self._transport))

    def _logs(self, name: str, namespace: str | None, container: str) -> str:
        which = ["-c", container] if container else []
        return self.kubectl("logs", name, "-n", namespace or self._verbs.namespace, *which)

    def _up(self, *options: str) -> None:
        """The command holds the watchdog's pipe too: if we are killed meanwhile, nothing may be ended before it is there."""
        where = ["--name", self.name, "--state-dir", str(self.folder / "state")]
        assert self._watchdog.stdin is not None
        done = subprocess.run(
            [sys.executable, "-m", "wherry", "up", *where, *options],
            pass_fds=[self._watchdog.stdin.fileno()],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            timeout=COMMAND_SECONDS,
        )
        if done.returncode != 0:
            raise SystemFailed(f"wherry up: {done.stderr or done.stdout}")

    def _remove(self) -> None:
        try:
            watchdog.end_system(self.folder)
        finally:
            self._held.release()
            watchdog.stop(self._watchdog)


def _built_in() -> list[Resource]:
    """Custom kinds are not looked up here; `client` and `kubectl` reach them."""
    return list(Scheme.load().resources.values())
