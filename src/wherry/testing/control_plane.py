"""`wherry.ControlPlane`: a Kubernetes control plane inside a program, with a clock that obeys.

    with wherry.ControlPlane() as cp:
        cp.apply("cronjob.yaml")
        cp.clock.advance("6h")
        assert len(cp.list("jobs")) == 3

API server, storage in memory, every controller and the scheduler are the ones `wherry up` runs; nodes only pretend to run
pods, which follow their annotations (docs/nodes.md). Each control plane has a thread and nothing else in common with others.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import TracebackType

from wherry.api.resources import PODS
from wherry.client.rest import Client
from wherry.testing.asynchronous import AsyncControlPlane
from wherry.testing.authority import authority
from wherry.testing.bridge import BridgedTransport
from wherry.testing.chaos import Chaos, InMemory
from wherry.testing.cluster import Clock, Cluster
from wherry.testing.engine import Engine
from wherry.testing.options import START, Settings
from wherry.testing.reach import write_kubeconfig
from wherry.testing.verbs import Verbs


class ControlPlane(Cluster):
    """`with` or `async with`; `start` and `stop` are theirs. The same seed gives the same names, uids and order of events."""

    def __init__(
        self,
        kubernetes_version: str = "1.36",
        nodes: int = 1,
        seed: int = 0,
        virtual_time: bool = True,
        *,
        start: str | datetime = START,
    ) -> None:
        """Raises OptionError and ValueError. `start`: the date at which virtual time begins."""
        settings = Settings(kubernetes_version, nodes, seed, virtual_time, start)
        self.settings = settings
        self._calls = self._engine = Engine(settings.options, seed, virtual_time, settings.epoch)
        self._port = 0
        self._kubeconfig: Path | None = None
        self.clock = Clock(self._engine)
        self.chaos = Chaos(self, InMemory(lambda: self._engine.plane.faults), real=False)

    def start(self) -> None:
        """Return once it answers and its nodes are ready: some 50 ms, the first of a process half a second."""
        self._engine.start()
        plane = self._engine.plane
        self._verbs = Verbs(
            plane.client,
            lambda: plane.app.core.serving.resources.values(),
            lambda: plane.clock.sleep(0.01),
            "wherry-testing",
        )

    def stop(self) -> None:
        """Whatever is open ends; nothing is kept."""
        self._engine.stop()
        if self._kubeconfig is not None:
            self._kubeconfig.unlink(missing_ok=True)
            self._kubeconfig = None

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> AsyncControlPlane:
        self.start()
        return AsyncControlPlane(self, self._verbs, self._engine)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def client(self) -> Client:
        return Client(BridgedTransport(self._engine, self._engine.plane.client.transport))

    @property
    def kubeconfig(self) -> Path:
        """Written at the first asking, when the control plane also begins to listen."""
        server = self.serve()
        if self._kubeconfig is None:
            files = authority().files
            self._kubeconfig = write_kubeconfig(files.directory / f"kubeconfig-{self._port}", server, files)
        return self._kubeconfig

    def serve(self) -> str:
        """Listen on a free port of the loopback address, with TLS; the server's URL. Virtual time stands still while a
        request from there is open, and passes only when the test lets it."""
        if not self._port:
            self._port = self._call(self._engine.plane.serve())
        return f"https://127.0.0.1:{self._port}"

    def _logs(self, name: str, namespace: str | None, container: str) -> str:
        from wherry.testing.simulated_logs import written

        pod = self._call(self._verbs.client.get(PODS, name, namespace or self._verbs.namespace))
        return written(pod, container, self._engine.now())
