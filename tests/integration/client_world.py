"""What the tests of client libraries need around them: a namespace, a kind of one's own, a deadline. Made by bare requests.

It uses none of the libraries under test, so that a test says something about one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from control_plane_process import ControlPlane

PATIENCE = 60
"""Seconds. For things that take milliseconds on a machine that has nothing else to do."""
WIDGET = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "default": 1, "minimum": 0},
                "colour": {"type": "string"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


@contextmanager
def namespace_of(plane: ControlPlane, prefix: str) -> Iterator[str]:
    """Its name. What is inside goes with it."""
    answer = plane.ask("POST", "/api/v1/namespaces", {"metadata": {"generateName": f"{prefix}-"}})
    assert answer.status == 201, answer.body
    name = answer.body["metadata"]["name"]
    yield name
    assert plane.ask("DELETE", f"/api/v1/namespaces/{name}").status == 200


@contextmanager
def widgets_of(plane: ControlPlane, group: str) -> Iterator[dict[str, Any]]:
    """The kind Widget in `group`, served with status and scale, until the block ends; its definition."""
    definition = widget_definition(group)
    everything = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    answer = plane.ask("POST", everything, definition)
    assert answer.status == 201, answer.body
    eventually(lambda: plane.ask("GET", f"/apis/{group}/v1/widgets").status == 200)
    yield definition
    assert plane.ask("DELETE", f"{everything}/widgets.{group}").status == 200


def widget_definition(group: str) -> dict[str, Any]:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": WIDGET},
        "subresources": {"status": {}, "scale": scale},
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def deployment(name: str = "web", replicas: int = 1) -> dict[str, Any]:
    """Complete, with one container."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }


def eventually(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def furnished(plane: ControlPlane, namespace: str) -> None:
    """Return once a new namespace has what every one gets: its account, without which pods are refused, and the API's CA."""
    given = [
        f"/api/v1/namespaces/{namespace}/{each}" for each in ("serviceaccounts/default", "configmaps/kube-root-ca.crt")
    ]
    eventually(lambda: all(plane.ask("GET", path).status == 200 for path in given))
