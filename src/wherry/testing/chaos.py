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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from wherry.aio.clock import RealClock
from wherry.aio.durations import Duration, seconds
from wherry.api.errors import StatusError
from wherry.api.quantity import Quantity
from wherry.chaos import ends, kept
from wherry.chaos.deciding import SERVFAIL, STORAGE, check
from wherry.chaos.faults import API, DISK, DNS, LEASE_SECONDS, NETWORK, NODE, PRESSURE, BadFault, Fault
from wherry.chaos.kept import MemoryFaults
from wherry.kubelet.simulated.nodes import HEARTBEAT
from wherry.network.fault_asking import FOLLOW_SECONDS, NotMade, tell, wait_made

Follow: TypeAlias = Callable[[Fault], Fault]


class NotPretended(RuntimeError):
    """Asked of a control plane whose pods only pretend: what it would break is not there."""


class Keeper(Protocol):
    """Makes faults hold."""

    def hold(self, fault: Fault, follow: Follow | None = None) -> None:
        """`follow` says from time to time whom it is about."""
        ...

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
    def pressure(self, of: str, *, node: str = "*", available: str = "0") -> Iterator[Fault]:
        """Nodes have too little `memory`, `disk` or `inodes`: so much is left as if somebody outside of all pods had taken the
        rest, and pods are evicted until there is enough."""
        self._need_real("nodes that pretend have no memory and no disk: patch their status")
        what = {"of": of, "available": Quantity.parse(available).value()}
        with self._holding(Fault(self._name(PRESSURE), PRESSURE, {"node": node}, what)) as fault:
            yield fault

    @contextmanager
    def disk(self, *, share: float = 1.0, seed: int = 0) -> Iterator[Fault]:
        """Writes of the API's storage fail as on a full disk: 500, and nothing acknowledged is lost."""
        self._need_real("a control plane in a test writes to no disk")
        with self._holding(Fault(self._name(DISK), DISK, {}, {"of": STORAGE}, share, seed)) as fault:
            yield fault

    @contextmanager
    def network(
        self,
        source: str = "",
        target: str = "",
        namespace: str = "default",
        to_namespace: str = "",
        *,
        delay: Duration = 0,
        jitter: Duration = 0,
        loss: float = 0.0,
        both: bool = False,
        seed: int = 0,
    ) -> Iterator[Fault]:
        """Packets from the pods `source` to the pods `target` are held for `delay`, give or take `jitter`, or lost; with `both`
        also what comes back. The ends are selectors of labels or `service/NAME`; pods that come later are meant too. Raises
        BadFault, and NotMade where this machine has no packets to hold."""
        self._need_real("pods that pretend send no packets")
        where = {"namespace": namespace, "to-namespace": to_namespace or namespace, "from": source, "to": target}
        what: dict[str, Any] = {"delay": seconds(delay), "jitter": seconds(jitter), "loss": loss, "both": both}
        what = {key: value for key, value in what.items() if value}
        fault = Fault(self._name(NETWORK), NETWORK, where, what, seed=seed)
        with self._holding(fault, lambda fault: replace(fault, ends=ends.find(self, fault.where))):
            yield fault

    def pods(self, namespace: str, selector: str) -> list[Any]:
        """As `ends.Cluster`."""
        return self._cluster.list("pods", namespace, selector)

    def service(self, namespace: str, name: str) -> Any | None:
        """As `ends.Cluster`."""
        found = self._cluster.list("services", namespace, fields=f"metadata.name={name}")
        return found[0] if found else None

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
    def _holding(self, fault: Fault, follow: Follow | None = None) -> Iterator[Fault]:
        check(fault)
        self._keeper.hold(fault, follow)
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

    def hold(self, fault: Fault, follow: Follow | None = None) -> None:
        self._faults().add(fault)

    def release(self, fault: Fault) -> None:
        self._faults().remove(fault)

    def list(self) -> list[Fault]:
        return self._faults().list()


class Renewed:
    """Of a running system: threads renew their leases while there are any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._netd = folder.parent / "netd.sock"
        self._clock = RealClock()
        self._held: dict[str, _Lease] = {}

    def hold(self, fault: Fault, follow: Follow | None = None) -> None:
        if follow:
            fault = follow(fault)
        kept.renew(self._folder, fault, self._clock.time())
        try:
            if follow:
                wait_made(self._netd, fault.name, lambda: self._renew(fault), self._clock.monotonic)
        except NotMade:
            kept.end(self._folder, fault)
            raise
        lease = self._held[fault.name] = _Lease(fault, self._renew, follow)
        lease.begin()

    def _renew(self, fault: Fault) -> None:
        kept.renew(self._folder, fault, self._clock.time())
        if fault.ends:
            tell(self._netd)

    def release(self, fault: Fault) -> None:
        self._held.pop(fault.name).end()
        kept.end(self._folder, fault)

    def list(self) -> list[Fault]:
        now = self._clock.time()
        return [each for each in kept.listed(self._folder) if each.holds(now)]


class _Lease:
    """One thread renews it, another asks whom it is about: an API that is stuck ends nothing."""

    def __init__(self, fault: Fault, renew: Callable[[Fault], None], follow: Follow | None) -> None:
        self._fault = fault
        self._renew = renew
        self._over = threading.Event()
        work: list[Callable[[], None]] = [self._keep]
        if follow:
            work.append(partial(self._follow, follow))
        self._threads = [threading.Thread(target=each, name=f"chaos {fault.name}", daemon=True) for each in work]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        while not self._over.wait(FOLLOW_SECONDS if self._fault.ends else LEASE_SECONDS / 5):
            try:
                self._renew(self._fault)
            except OSError:  # the system has gone
                return

    def _follow(self, follow: Follow) -> None:
        while not self._over.wait(FOLLOW_SECONDS):
            try:
                self._fault = follow(self._fault)
            except (OSError, StatusError, BadFault):
                continue  # whom it was about it is about until the API answers
