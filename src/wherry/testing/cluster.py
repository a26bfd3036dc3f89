"""The methods that a test's cluster has whether it pretends or is real: verbs, waiting, events, logs.

The blocking form; `asynchronous.py` has the other. `ControlPlane` and `System` are made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from wherry.aio.durations import Duration, seconds
from wherry.api.types import Obj
from wherry.client.rest import Client, PatchType, Propagation
from wherry.testing import reach
from wherry.testing.conditions import Condition, checker
from wherry.testing.manifests import Manifest
from wherry.testing.time import ClockBase, Passing, Waiting, waiting
from wherry.testing.verbs import Verbs

T = TypeVar("T")
Objs: TypeAlias = list[Obj]
PATIENCE: Duration = "5m"
"""How long `wait_for` waits unless told: the plane's own time."""


class Calls(Passing, Protocol):
    """Where the verbs are carried out."""

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]: ...

    def share(self, work: Coroutine[Any, Any, T]) -> Future[T]: ...

    def flow(self, on: bool) -> None: ...


class Clock(ClockBase):
    """`clock.advance("6h")`, `clock.run_until(condition)`: virtual time, through the real controllers."""

    def advance(self, duration: Duration) -> None:
        """Let that much time pass and everything happen that is due by then. Raises RealTime, ValueError."""
        self._passing.pass_time(self._until(duration), False).result()

    def run_until(self, condition: Callable[[], T], limit: Duration = "24h") -> T:
        """Let time pass until `condition()` is true, which is asked after every write; its answer. Raises TimeoutError."""
        self._until(limit)
        late = f"not within {limit} of virtual time"
        answer: T = _drive(waiting(self._passing, condition, seconds(limit), lambda: late))
        return answer


class Cluster:
    """Raises StatusError for what the API refuses, UnknownKind for a kind it does not have."""

    _calls: Calls
    _verbs: Verbs

    @property
    def kubeconfig(self) -> Path:
        """A file that gives whoever reads it the administrator's access."""
        raise NotImplementedError

    @property
    def client(self) -> Client:
        """Async, usable on any event loop: `await cp.client.list(GVR("", "v1", "pods"), "default")`."""
        raise NotImplementedError

    def _logs(self, name: str, namespace: str | None, container: str) -> str:
        raise NotImplementedError

    def apply(self, manifest: Manifest, namespace: str | None = None) -> Any:
        """An object, several, YAML text, or the path of a file or directory. One object comes back as it is, several as a
        list."""
        applied = self._call(self._verbs.apply(manifest, namespace))
        return applied[0] if len(applied) == 1 else applied

    def get(self, kind: str, name: str, namespace: str | None = None) -> Obj:
        """`get("deployment", "web")`; kinds as kubectl takes them."""
        return self._call(self._verbs.get(kind, name, namespace))

    def list(self, kind: str, namespace: str | None = None, labels: str = "", fields: str = "") -> Objs:
        """`namespace="*"` for all; selectors as kubectl takes them."""
        return self._call(self._verbs.list(kind, namespace, labels, fields))

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        """Ask for it; `wait_for(kind, name, "delete")` sees it gone."""
        self._call(self._verbs.delete(kind, name, namespace, grace_seconds, propagation))

    def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
    ) -> Obj:
        """A merge patch unless `type` says otherwise; `subresource="status"` for what controllers write."""
        return self._call(self._verbs.patch(kind, name, patch, namespace, type, subresource))

    def wait_for(
        self,
        kind: str,
        name: str,
        condition: Condition = "Ready",
        timeout: Duration = PATIENCE,
        namespace: str | None = None,
    ) -> Obj | None:
        """Let time pass until the object is so; the object then (None: deleted). Raises TimeoutError with its state."""
        test = checker(condition)
        last: list[Obj | None] = [None]

        def ask() -> tuple[Obj | None] | None:
            last[0] = found = self._call(self._verbs.find_one(kind, name, namespace))
            return (found,) if test(found) else None

        def late() -> str:
            state = "is not there" if last[0] is None else f"is {last[0].get('status')}"
            return f"{kind} {name}: not {condition} within {timeout}; it {state}"

        answer: tuple[Obj | None] = _drive(waiting(self._calls, ask, seconds(timeout), late))
        return answer[0]

    def events(self, kind: str, name: str, namespace: str | None = None) -> Objs:
        """About one object, oldest first."""
        return self._call(self._verbs.events(kind, name, namespace))

    def logs(self, name: str, namespace: str | None = None, container: str = "") -> str:
        """What a pod's container has written."""
        return self._logs(name, namespace, container)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What `kubectl ARGUMENTS` prints; while it runs, virtual time passes like real time. Raises KubectlFailed."""
        file = self.kubeconfig
        self._calls.flow(True)
        try:
            return reach.kubectl(file, arguments, stdin, check)
        finally:
            self._calls.flow(False)

    def as_default(self) -> AbstractContextManager[None]:
        """`with cp.as_default():` whatever looks for a cluster by KUBECONFIG finds this one, in this process and in those it
        starts: kopf, the official client, test frameworks that take an existing cluster."""
        return reach.default_cluster(self.kubeconfig)

    def kubernetes_client(self) -> Any:
        """An `ApiClient` of the official client, for `kubernetes.client.CoreV1Api(...)` and the like."""
        return reach.kubernetes_client(self.kubeconfig)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._calls.call(work).result()


def _drive(steps: Waiting) -> Any:
    """Do what the steps say, blocking."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = step.result() if isinstance(step, Future) else step()
