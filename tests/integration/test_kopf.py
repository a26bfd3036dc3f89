"""An operator written with kopf, unmodified, for a kind of its own, against a control plane process.

All kinds of handlers, its finalizer, status and events; two operators that agree by peering who works; its admission webhooks.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from client_world import PATIENCE, eventually, namespace_of, widgets_of
from control_plane_process import Answer, ControlPlane
from webhook_server import hook_certificate

kopf = pytest.importorskip("kopf", reason="kopf is not installed")
pytestmark = pytest.mark.usefixtures("sockets_left")
MERGE = "application/merge-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class World:
    """The kind Widget of a group, in a namespace, by bare requests."""

    def __init__(self, plane: ControlPlane, namespace: str, group: str) -> None:
        self.plane, self.namespace, self.group = plane, namespace, group
        self.path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"

    def create(self, name: str, **spec: Any) -> Answer:
        body = {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}
        return self.plane.ask("POST", self.path, body)

    def change(self, name: str, **spec: Any) -> Answer:
        return self.plane.ask("PATCH", f"{self.path}/{name}", {"spec": spec}, MERGE)

    def read(self, name: str) -> dict[str, Any]:
        answer = self.plane.ask("GET", f"{self.path}/{name}")
        return answer.body if answer.status == 200 else {}

    def status(self, name: str) -> dict[str, Any]:
        return self.read(name).get("status", {})

    def delete(self, name: str) -> None:
        assert self.plane.ask("DELETE", f"{self.path}/{name}").status == 200

    def events(self, reason: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/events?fieldSelector=reason={reason}"
        return self.plane.ask("GET", path).body["items"]


@pytest.fixture
def world(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with namespace_of(plane, "kopf") as namespace, widgets_of(plane, f"{namespace}.example.com"):
        yield World(plane, namespace, f"{namespace}.example.com")


def registry_with_login() -> Any:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def log_in(**more: Any) -> Any:
        return kopf.login_with_kubeconfig(**more)

    return registry


@contextmanager
def running(world: World, registry: Any, **options: Any) -> Iterator[Callable[[], None]]:
    """An operator in a thread, ready; what is yielded stops it before the block ends."""
    ready, stop = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        flags = {"ready_flag": ready, "stop_flag": stop}
        try:
            asyncio.run(kopf.operator(registry=registry, namespaces=[world.namespace], **flags, **options))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    thread = threading.Thread(target=run)

    def end() -> None:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    thread.start()
    try:
        assert ready.wait(PATIENCE), failures
        yield end
    finally:
        end()
    assert failures == []


def test_every_handler(world: World) -> None:
    registry = registry_with_login()
    where = (world.group, "v1", "widgets")
    done: list[str] = []

    @kopf.on.startup(registry=registry)
    def configure(settings: Any, **_: Any) -> None:
        settings.persistence.finalizer = "example.com/guard"
        settings.posting.enabled = True
        settings.background.cancellation_polling = 0.1  # how soon kopf looks again whether a timer has ended

    @kopf.on.resume(*where, registry=registry)
    def resume(name: str, **_: Any) -> None:
        done.append(f"resumed {name}")

    @kopf.on.create(*where, id="create", registry=registry)
    def create(spec: Any, patch: Any, body: Any, retry: int, **_: Any) -> dict[str, Any]:
        if retry == 0:
            raise kopf.TemporaryError("not yet", delay=0.05)
        patch.status["phase"] = "Made"
        kopf.info(body, reason="Made", message=f"of size {spec['size']}")
        return {"tries": retry + 1}

    @kopf.on.update(*where, registry=registry)
    def update(diff: Any, patch: Any, **_: Any) -> None:
        patch.status["changed"] = [".".join(field) for _, field, _, _ in diff]

    @kopf.on.delete(*where, registry=registry)
    def delete(name: str, **_: Any) -> None:
        done.append(f"deleted {name}")

    @kopf.timer(*where, interval=0.05, registry=registry)
    def tick(status: Any, patch: Any, **_: Any) -> None:
        patch.status["ticks"] = min(status.get("ticks", 0) + 1, 3)

    @kopf.daemon(*where, cancellation_timeout=PATIENCE, registry=registry)
    async def watch_over(stopped: Any, name: str, **_: Any) -> None:
        done.append(f"watches {name}")
        await stopped.wait()
        done.append(f"leaves {name}")

    world.create("old", colour="grey")
    with running(world, registry, standalone=True):
        eventually(lambda: world.status("old").get("phase") == "Made")
        assert world.create("new", size=2).status == 201
        eventually(lambda: world.status("new").get("phase") == "Made")
        assert world.status("new")["create"] == {"tries": 2}
        assert world.read("new")["metadata"]["finalizers"] == ["example.com/guard"]
        eventually(lambda: world.status("new").get("ticks") == 3)
        world.change("new", size=5)
        eventually(lambda: world.status("new").get("changed") == ["spec.size"])

        def told() -> set[tuple[str, str]]:
            events = [each for each in world.events("Made") if each["involvedObject"]["name"] == "new"]
            return {(each["message"], each["type"]) for each in events}

        eventually(lambda: told() == {("of size 2", "Normal")})
        world.delete("new")
        eventually(lambda: world.read("new") == {})
        assert "deleted new" in done
        assert done.index("watches new") < done.index("leaves new")
    assert "resumed old" not in done
    with running(world, registry, standalone=True):
        eventually(lambda: "resumed old" in done)
        world.delete("old")
        eventually(lambda: world.read("old") == {})


@contextmanager
def peering(world: World) -> Iterator[str]:
    """The kind kopf's operators agree by, and one object of it; its path."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"kind": "KopfPeering", "plural": "kopfpeerings", "singular": "kopfpeering"}
    body = {"group": "kopf.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    assert (
        world.plane.ask("POST", DEFINITIONS, {"metadata": {"name": "kopfpeerings.kopf.dev"}, "spec": body}).status
        == 201
    )
    eventually(lambda: world.plane.ask("GET", "/apis/kopf.dev/v1/kopfpeerings").status == 200)
    path = f"/apis/kopf.dev/v1/namespaces/{world.namespace}/kopfpeerings"
    made = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "shift"}}
    assert world.plane.ask("POST", path, made).status == 201
    yield f"{path}/shift"
    assert world.plane.ask("DELETE", f"{DEFINITIONS}/kopfpeerings.kopf.dev").status == 200


def test_peering(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The one of lower priority waits until the other has gone."""

    def marking(mark: str) -> Any:
        registry = registry_with_login()

        @kopf.on.create(world.group, "v1", "widgets", registry=registry)
        def create(patch: Any, **_: Any) -> None:
            patch.status["by"] = mark

        return registry

    caplog.set_level(logging.INFO, "kopf")
    with peering(world) as path:

        def peers() -> set[int]:
            return {each["priority"] for each in world.plane.ask("GET", path).body.get("status", {}).values()}

        options = {"peering_name": "shift", "standalone": False}
        with running(world, marking("junior"), priority=1, identity="junior", **options):
            eventually(lambda: peers() == {1})
            with running(world, marking("senior"), priority=100, identity="senior", **options) as leave:
                eventually(lambda: peers() == {1, 100})
                eventually(lambda: "Pausing operations in favour of" in caplog.text)  # the other has heard of it
                world.create("a")
                eventually(lambda: world.status("a").get("by") == "senior")
                leave()
            eventually(lambda: peers() == {1})
            world.create("b")
            eventually(lambda: world.status("b").get("by") == "junior")
        assert peers() == set()


def test_admission(world: World, tmp_path: Path) -> None:
    """kopf writes the configurations of its webhooks itself, and serves them over TLS."""
    registry = registry_with_login()
    authority, name = hook_certificate(tmp_path), f"{world.namespace}.hooks.example.com"

    @kopf.on.startup(registry=registry)
    def configure(settings: Any, **_: Any) -> None:
        settings.admission.managed = name
        files = {"certfile": tmp_path / "hook.pem", "pkeyfile": tmp_path / "hook.pem", "cadata": authority}
        settings.admission.server = kopf.WebhookServer(addr="127.0.0.1", **files)

    @kopf.on.validate(world.group, "v1", "widgets", registry=registry)
    def check(spec: Any, warnings: list[str], **_: Any) -> None:
        warnings.append("looked at")
        if spec["size"] > 9:
            raise kopf.AdmissionError("too large", code=422)

    @kopf.on.mutate(world.group, "v1", "widgets", registry=registry)
    def colour(patch: Any, spec: Any, **_: Any) -> None:
        if "colour" not in spec:
            patch.spec["colour"] = "white"

    with running(world, registry, standalone=True):
        for kind in ("mutating", "validating"):
            path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/{name}"
            eventually(lambda path=path: world.plane.ask("GET", path).body.get("webhooks"))
        refused = world.create("large", size=10)
        assert refused.status == 422
        assert refused.body["message"].endswith("denied the request: too large")
        made = world.create("small", size=3)
        assert (made.status, made.body["spec"]) == (201, {"size": 3, "colour": "white"})
        assert any("looked at" in each for each in made.warnings)
    for kind in ("mutating", "validating"):  # kopf leaves them
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/{name}"
        assert world.plane.ask("DELETE", path).status == 200
