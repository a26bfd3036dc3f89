"""Faults made on purpose, from a test: `with control_plane.chaos.api(fail=429, resource="jobs"):`.

What they do is `wherry.chaos`'s; here they last as long as a block. Those of a system with real pods are leases that a thread
renews, so that they end with the test's process too.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from wherry.aio.clock import RealClock
from wherry.aio.durations import Duration, seconds
from wherry.chaos import kept
from wherry.chaos.deciding import SERVFAIL, check
from wherry.chaos.faults import API, DNS, LEASE_SECONDS, NODE, PRESSURE, Fault
from wherry.chaos.kept import MemoryFaults
from wherry.kubelet.simulated.nodes import HEARTBEAT


class NotPretended(RuntimeError):
    """Asked of a control plane whose pods only pretend: what it would break is not there."""


class Keeper(Protocol):
    """Makes faults hold."""

    def hold(self, fault: Fault) -> None: ...

    def release(self, fault: Fault) -> None: ...

    def list(self) -> list[Fault]: ...


class Killing(Protocol):
    """What is needed of a cluster to break parts of it."""

    def list(self, kind: str, namespace: str | None = None, labels: str = "", fields: str = "") -> list[Any]: ...

    def delete(
        self, kind: str, name: str, namespace: str | None = None, *, grace_seconds: int | None = None
    ) -> None: ...

    def patch(self, kind: str, name: str, patch: Any) -> Any: ...


class Chaos:
    """`real`: pods and nodes are. Every fault lasts as long as its block."""

    def __init__(self, cluster: Killing, keeper: Keeper, real: bool) -> None:
        self._cluster = cluster
        self._keeper = keeper
        self._real = real
        self._numbers = itertools.count(1)

    def active(self) -> list[Fault]:
        """Those that hold now."""
        return self._keeper.list()

    @contextmanager
    def api(
        self, *, fail: int | None = None, delay: Duration = 0, share: float = 1.0, seed: int = 0, **where: str
    ) -> Iterator[Fault]:
        """Requests fail with 409, 429, 500, 503 or 504, or wait, of the control plane's own time. `where`: patterns of `verb`,
        `resource`, `namespace`, `name`, `user`, `agent`; parts of the control plane and the test itself only where `user` says so
        (`user="system:kube-controller-manager"`). Raises BadFault."""
        what: dict[str, Any] = {"delay": seconds(delay)} if seconds(delay) else {}
        if fail is not None:
            what["fail"] = fail
        with self._holding(Fault(self._name(API), API, where, what, share, seed)) as fault:
            yield fault

    @contextmanager
    def node(self, name: str) -> Iterator[None]:
        """A node and the API cannot reach one another."""
        if self._real:
            with self._holding(Fault(self._name(NODE), NODE, {"node": name})):
                yield
            return
        self._cluster.patch("node", name, {"metadata": {"annotations": {HEARTBEAT: "off"}}})
        try:
            yield
        finally:
            self._cluster.patch("node", name, {"metadata": {"annotations": {HEARTBEAT: None}}})

    @contextmanager
    def dns(self, name: str, *, answer: str = SERVFAIL, share: float = 1.0, seed: int = 0) -> Iterator[Fault]:
        """Names that match do not resolve in pods. `answer`: `SERVFAIL`, `NXDOMAIN`, or `drop` for none at all."""
        self._need_real("pods that pretend ask no DNS")
        fault = Fault(self._name(DNS), DNS, {"name": name}, {"answer": answer}, share, seed)
        with self._holding(fault):
            yield fault

    @contextmanager
    def pressure(self, of: str, *, node: str = "*") -> Iterator[Fault]:
        """Nodes say that they have too little `memory` or `disk`."""
        self._need_real("nodes that pretend have no memory and no disk: patch their status")
        with self._holding(Fault(self._name(PRESSURE), PRESSURE, {"node": node}, {"of": of})) as fault:
            yield fault

    def kill_pod(self, labels: str = "", namespace: str = "default", *, seed: int = 0) -> str:
        """One of those meant, at once; its name. Raises LookupError."""
        found = self._cluster.list("pods", namespace, labels)
        names = sorted(one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])
        if not names:
            raise LookupError(f"no pod of {namespace} has the labels {labels!r}")
        name: str = random.Random(seed).choice(names)
        self._cluster.delete("pod", name, namespace, grace_seconds=0)
        return name

    @contextmanager
    def _holding(self, fault: Fault) -> Iterator[Fault]:
        check(fault)
        self._keeper.hold(fault)
        try:
            yield fault
        finally:
            self._keeper.release(fault)

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    def _need_real(self, why: str) -> None:
        if not self._real:
            raise NotPretended(f"{why}; the fixture `system` has real ones")


class InMemory:
    """Of a control plane in this process."""

    def __init__(self, faults: Callable[[], MemoryFaults]) -> None:
        self._faults = faults

    def hold(self, fault: Fault) -> None:
        self._faults().add(fault)

    def release(self, fault: Fault) -> None:
        self._faults().remove(fault)

    def list(self) -> list[Fault]:
        return self._faults().list()


class Renewed:
    """Of a running system: a thread renews their leases while there are any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = RealClock()
        self._held: dict[str, tuple[threading.Thread, threading.Event]] = {}

    def hold(self, fault: Fault) -> None:
        kept.renew(self._folder, fault, self._clock.time())
        over = threading.Event()
        thread = threading.Thread(target=self._renew, args=(fault, over), name=f"chaos {fault.name}", daemon=True)
        self._held[fault.name] = (thread, over)
        thread.start()

    def _renew(self, fault: Fault, over: threading.Event) -> None:
        while not over.wait(LEASE_SECONDS / 5):
            try:
                kept.renew(self._folder, fault, self._clock.time())
            except OSError:  # the system has gone
                return

    def release(self, fault: Fault) -> None:
        thread, over = self._held.pop(fault.name)
        over.set()
        thread.join()
        kept.end(self._folder, fault)

    def list(self) -> list[Fault]:
        now = self._clock.time()
        return [each for each in kept.listed(self._folder) if each.holds(now)]
