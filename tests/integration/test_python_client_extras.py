"""The official Python client beyond requests: leader election, its informer, its asynchronous half, server-side apply."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from client_world import PATIENCE, deployment, eventually, namespace_of
from control_plane_process import ControlPlane

LEASE_SECONDS = 3
kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")


@pytest.fixture
def api(plane: ControlPlane) -> Iterator[Any]:
    client = kubernetes.config.new_client_from_config(str(plane.kubeconfig))
    yield client
    client.close()
    client.rest_client.pool_manager.clear()


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    with namespace_of(plane, "python") as name:
        yield name


class Hours:
    """In place of the module `time`: it passes when the test says so and all who live by it sleep, so that no lease runs out
    because the machine is slow."""

    def __init__(self) -> None:
        self._now = 1_700_000_000.5
        self._ends: list[float] = []
        self._changed = threading.Condition()
        self._living = 0

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._changed:
            end = self._now + seconds
            self._ends.append(end)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._now >= end)

    def live(self, more: int) -> None:
        """So many more live by it, or fewer."""
        with self._changed:
            self._living += more
            self._changed.notify_all()

    def advance(self) -> None:
        """By one second, once everybody sleeps; those whose sleep is over have begun again."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._ends) == self._living, PATIENCE)
            self._now += 1
            self._ends = [end for end in self._ends if end > self._now]
            self._changed.notify_all()


class Candidate:
    """Leads until it is told to retire; the library has no other way to stop one than that its work fails."""

    def __init__(self, lock: Any, hours: Hours) -> None:
        from kubernetes.leaderelection import electionconfig, leaderelection

        self.leads, self.retired = threading.Event(), threading.Event()
        self._retire = threading.Event()
        self._hours = hours
        config = electionconfig.Config(
            lock, lease_duration=LEASE_SECONDS, renew_deadline=2, retry_period=1,
            onstarted_leading=self._work, onstopped_leading=self._stopped,
        )  # fmt: skip
        hours.live(+1)
        self._thread = threading.Thread(target=leaderelection.LeaderElection(config).run, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self.leads.set()
        assert self._retire.wait(PATIENCE)
        raise RuntimeError("retired")

    def _stopped(self) -> None:
        self.retired.set()
        self._hours.live(-1)

    def retire(self) -> None:
        self._retire.set()
        while not self.retired.is_set():
            self._hours.advance()
        self._thread.join(PATIENCE)


def test_leader_election(plane: ControlPlane, api: Any, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One leads; the next one leads when the first has gone, and the lock says who."""
    from kubernetes.leaderelection import leaderelection
    from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

    hours = Hours()
    monkeypatch.setattr(leaderelection, "time", hours)

    def lock(identity: str) -> Any:
        made = LeaseLock("lock", namespace, identity)
        made.api_instance = kubernetes.client.CoordinationV1Api(api)
        return made

    def holder() -> str:
        found, record = lock("reader").get("lock", namespace)
        return record.holder_identity if found else ""

    first = Candidate(lock("first"), hours)
    assert first.leads.wait(PATIENCE)
    assert holder() == "first"
    second = Candidate(lock("second"), hours)
    renewed = plane.revision()
    for _ in range(LEASE_SECONDS + 2):
        hours.advance()
    assert any(f"/{namespace}/lock" in key for key in plane.written_since(renewed))
    assert (holder(), second.leads.is_set()) == ("first", False), "it renewed for longer than a lease lasts"
    first.retire()
    eventually(lambda: holder() == "second" or hours.advance())
    assert second.leads.wait(PATIENCE)
    second.retire()


def test_an_informer(api: Any, namespace: str) -> None:
    from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_secret(namespace, {"metadata": {"name": "before"}})
    informer = SharedInformer(core.list_namespaced_secret, namespace=namespace)
    seen: list[tuple[str, str]] = []
    for event in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(event, lambda each, event=event: seen.append((event, each.metadata.name)))
    informer.start()
    try:
        eventually(lambda: informer.cache.list_keys() == [f"{namespace}/before"])
        core.create_namespaced_secret(namespace, {"metadata": {"name": "after"}})
        eventually(lambda: informer.cache.get_by_key(f"{namespace}/after") is not None)
        core.patch_namespaced_secret("after", namespace, {"stringData": {"a": "b"}})
        eventually(lambda: informer.cache.get_by_key(f"{namespace}/after").data is not None)
        core.delete_namespaced_secret("before", namespace)
        eventually(lambda: informer.cache.list_keys() == [f"{namespace}/after"])
    finally:
        informer.stop()
    assert seen == [("ADDED", "before"), ("ADDED", "after"), ("MODIFIED", "after"), ("DELETED", "before")]


def test_server_side_apply_through_the_dynamic_client(api: Any, namespace: str) -> None:
    deployments = kubernetes.dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")

    def apply(manager: str, **more: Any) -> Any:
        body = deployment(replicas=0) | {"spec": deployment(replicas=0)["spec"] | more}
        return deployments.server_side_apply(body=body, namespace=namespace, field_manager=manager)

    assert apply("one", minReadySeconds=1).spec.minReadySeconds == 1
    with pytest.raises(kubernetes.dynamic.exceptions.ConflictError) as conflict:
        apply("two", minReadySeconds=2)
    assert ".spec.minReadySeconds" in conflict.value.summary()
    shared = apply("two", minReadySeconds=1)
    applied = {each.manager for each in shared.metadata.managedFields if each.operation == "Apply"}
    assert applied == {"one", "two"}
    assert apply("one").spec.minReadySeconds == 1  # the other still owns it
    assert not apply("two").spec.minReadySeconds


async def test_the_asynchronous_client(plane: ControlPlane, namespace: str) -> None:
    aio = pytest.importorskip("kubernetes.aio", reason="this release of the official client has no asynchronous half")
    async with await aio.config.new_client_from_config(config_file=str(plane.kubeconfig)) as api:
        core = aio.client.CoreV1Api(api)
        body = aio.client.V1ConfigMap(metadata=aio.client.V1ObjectMeta(name="a"), data={"x": "1"})
        made = await core.create_namespaced_config_map(namespace, body)
        await core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
        await core.delete_namespaced_config_map("a", namespace)
        seen = []
        async with aio.watch.Watch() as watch:
            async for event in watch.stream(
                core.list_namespaced_config_map, namespace, resource_version=made.metadata.resource_version
            ):
                if event["object"].metadata.name == "a":
                    seen.append((event["type"], event["object"].data))
                if event["type"] == "DELETED":
                    break
        assert seen == [("MODIFIED", {"x": "2"}), ("DELETED", {"x": "2"})]
        with pytest.raises(aio.client.ApiException) as gone:
            await core.read_namespaced_config_map("a", namespace)
        assert gone.value.status == 404
