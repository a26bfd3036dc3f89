"""What a typed client reads and writes back unchanged changes nothing: every field survives its models and our server.

The objects are those of the recorded exchanges that Kubernetes created. They live in a control plane of this file's own, as
webhook configurations and policies are among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from client_world import eventually
from control_plane_process import ControlPlane

EXCHANGES = Path(__file__).parent.parent / "reference" / "exchanges"
NOT_STORED = {"Binding", "SelfSubjectReview", "TokenRequest", "TokenReview"}
NOT_HERE = {
    "Widget",  # of definitions that are not made here
    "APIService",  # a group that nobody serves hides others from clients
}
REFUSED_BY_KUBERNETES = {"Event"}
"""Both libraries write whole seconds without a fraction, which Kubernetes does not take for a MicroTime."""
ATTEMPTS = 30
INITIALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Stored(NamedTuple):
    version: str
    """`apiVersion`"""
    kind: str
    namespace: str
    name: str
    path: str

    @property
    def where(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}


def recorded() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Path, body and namespace of everything a recording creates, each with a namespace of its own."""
    number = 0
    for file in sorted(EXCHANGES.glob("*.json")):
        for step in json.loads(file.read_text())["steps"]:
            verb, _, target = step.get("do", "").partition(" ")
            body = step.get("body")
            if verb != "POST" or "?" in target or not isinstance(body, dict) or step["expect"].get("status") != 201:
                continue
            number += 1
            namespace = f"n{number}"
            text = json.dumps(body).replace("{ns}", namespace).replace("{sfx}", str(number))
            if body.get("kind", "") not in {"", *NOT_STORED, *NOT_HERE, *REFUSED_BY_KUBERNETES}:
                inside = namespace if "namespaces/" in target else ""
                yield target.replace("{ns}", namespace), json.loads(text), inside


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("round-trips")) as plane:
        yield plane


@pytest.fixture(scope="module")
def objects(world: ControlPlane) -> list[Stored]:
    made = []
    for path, body, namespace in recorded():
        if namespace:
            assert world.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}).status == 201
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"  # a pod without it is refused
            eventually(lambda account=account: world.ask("GET", account).status == 200)
        answer = world.ask("POST", path, body)
        assert answer.status == 201, answer.body
        name = answer.body["metadata"]["name"]
        made.append(Stored(body["apiVersion"], body["kind"], namespace, name, f"{path}/{name}"))
    assert len({each.kind for each in made}) > 30
    return made


def changes(world: ControlPlane, each: Stored, write_back: Callable[[], bool]) -> Any:
    """What writing back has changed, or None. Controllers write, too: it is done again until nobody came between."""
    before = after = None
    for _ in range(ATTEMPTS):
        before = world.ask("GET", each.path).body
        if write_back():
            after = world.ask("GET", each.path).body
            if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
                return None
    return before, after


def test_with_the_official_client(world: ControlPlane, objects: list[Stored]) -> None:
    kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")
    api = kubernetes.config.new_client_from_config(str(world.kubeconfig))

    def methods(each: Stored) -> tuple[Any, Any]:
        group, _, version = each.version.rpartition("/")
        words = (group or "core").removesuffix(".k8s.io").replace(".k8s.io", "").split(".")
        name = "".join(word[:1].upper() + word[1:] for word in words)
        client = getattr(kubernetes.client, f"{name}{version.capitalize()}Api")(api)
        noun = ("namespaced_" if each.namespace else "") + INITIALS.sub("_", each.kind).lower()
        return getattr(client, f"read_{noun}"), getattr(client, f"replace_{noun}")

    def write_back(each: Stored) -> bool:
        read, replace = methods(each)
        try:
            replace(each.name, body=read(each.name, **each.where), **each.where)
        except kubernetes.client.ApiException as error:
            if error.status != 409:
                raise
            return False
        return True

    try:
        wrong = {each: changes(world, each, lambda each=each: write_back(each)) for each in objects}
    finally:
        api.close()
        api.rest_client.pool_manager.clear()
    assert {each: change for each, change in wrong.items() if change} == {}


def test_with_lightkube(world: ControlPlane, objects: list[Stored]) -> None:
    lightkube = pytest.importorskip("lightkube", reason="lightkube is not installed")
    from lightkube.codecs import resource_registry

    with lightkube.Client(lightkube.KubeConfig.from_file(world.kubeconfig), lazy=False) as client:

        def write_back(each: Stored) -> bool:
            try:
                client.replace(client.get(resource_registry.load(each.version, each.kind), each.name, **each.where))
            except lightkube.ApiError as error:
                if error.status.code != 409:
                    raise
                return False
            return True

        wrong = {each: changes(world, each, lambda each=each: write_back(each)) for each in objects}
    assert {each: change for each, change in wrong.items() if change} == {}
