"""Custom resources over TLS: a conversion webhook that is a real server, a schema that changes under open connections, a
restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control_plane_process import ControlPlane
from webhook_server import WebhookServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 60
MERGE = "application/merge-patch+json"


def version(name: str, storage: bool = True, **fields: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": fields}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {"name": name, "served": True, "storage": storage, "schema": schema}


class Boats:
    """The definition boats.GROUP, and its objects in the namespace default."""

    def __init__(self, plane: ControlPlane, group: str) -> None:
        self.plane, self.group = plane, group
        self.definition = f"{DEFINITIONS}/boats.{group}"

    def define(self, *versions: dict[str, Any], **spec: Any) -> None:
        body = {"group": self.group, "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"}}
        metadata = {"name": f"boats.{self.group}"}
        said = self.plane.ask(
            "POST", DEFINITIONS, {"metadata": metadata, "spec": {**body, "versions": versions, **spec}}
        )
        assert said.status == 201, said.body
        eventually(lambda: '"True", "type": "Established"' in _conditions(self.plane.ask("GET", self.definition).body))

    def path(self, version: str, name: str = "") -> str:
        return f"/apis/{self.group}/{version}/namespaces/default/boats" + (f"/{name}" if name else "")

    def make(self, version: str, name: str, **spec: Any) -> Any:
        body = {"apiVersion": f"{self.group}/{version}", "kind": "Boat", "metadata": {"name": name}, "spec": spec}
        said = self.plane.ask("POST", self.path(version), body)
        assert said.status == 201, said.body
        return said.body

    def spec(self, version: str, name: str) -> Any:
        said = self.plane.ask("GET", self.path(version, name))
        assert said.status == 200, said.body
        return said.body["spec"]

    def forget(self) -> None:
        self.plane.ask("DELETE", self.definition)
        eventually(lambda: self.plane.ask("GET", self.definition).status == 404)


def _conditions(body: dict[str, Any]) -> str:
    found = body.get("status", {}).get("conditions") or ()
    return " ".join(f'"{each["status"]}", "type": "{each["type"]}"' for each in found)


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _rename(request: dict[str, Any]) -> dict[str, Any]:
    """v1 says length in metres, v2 in feet."""
    converted = []
    for obj in request["objects"]:
        spec = dict(obj["spec"])
        if request["desiredAPIVersion"].endswith("/v2"):
            spec["feet"] = spec.pop("metres") * 3
        else:
            spec["metres"] = spec.pop("feet") // 3
        converted.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    return {"result": {"status": "Success"}, "convertedObjects": converted}


def test_a_conversion_webhook_over_tls(plane: ControlPlane, tmp_path: Path) -> None:
    boats = Boats(plane, "convert.example.com")
    number = {"type": "integer"}
    with WebhookServer(tmp_path, {"/convert": _rename}) as hooks:
        webhook = {"clientConfig": hooks.client_config("/convert"), "conversionReviewVersions": ["v1"]}
        conversion = {"strategy": "Webhook", "webhook": webhook}
        boats.define(version("v1", metres=number), version("v2", False, feet=number), conversion=conversion)
        boats.make("v1", "a", metres=2)
        boats.make("v2", "b", feet=9)
        assert [boats.spec("v2", name) for name in "ab"] == [{"feet": 6}, {"feet": 9}]
        assert boats.spec("v1", "b") == {"metres": 3}
        listed = plane.ask("GET", boats.path("v2")).body["items"]
        assert [each["spec"] for each in listed] == [{"feet": 6}, {"feet": 9}]
        said = plane.ask("PATCH", boats.path("v2", "a"), {"spec": {"feet": 12}}, MERGE)
        assert (said.status, boats.spec("v1", "a")) == (200, {"metres": 4})
        # The other version is stored from now on; what is stored in the old one stays readable.
        patch = {"spec": {"versions": [version("v1", False, metres=number), version("v2", feet=number)]}}
        assert plane.ask("PATCH", boats.definition, patch, MERGE).body["status"]["storedVersions"] == ["v1", "v2"]
        eventually(lambda: boats.spec("v1", "b") == {"metres": 3})
        assert plane.ask("PATCH", boats.path("v1", "a"), {"metadata": {"labels": {"x": "y"}}}, MERGE).status == 200
        assert (boats.spec("v2", "a"), boats.spec("v1", "a")) == ({"feet": 12}, {"metres": 4})
        boats.forget()


def test_a_schema_that_changes_counts_at_once_on_open_connections(plane: ControlPlane) -> None:
    boats = Boats(plane, "change.example.com")
    boats.define(version("v1", a={"type": "string"}))
    boats.make("v1", "a", a="x")
    for _ in range(3):  # bytes that were answered before are answered from memory
        assert boats.spec("v1", "a") == {"a": "x"}
        assert len(plane.ask("GET", boats.path("v1")).body["items"]) == 1
    versions = [version("v1", a={"type": "string"}, b={"type": "integer", "default": 5})]
    assert plane.ask("PATCH", boats.definition, {"spec": {"versions": versions}}, MERGE).status == 200
    eventually(lambda: boats.spec("v1", "a") == {"a": "x", "b": 5})
    assert plane.ask("GET", boats.path("v1")).body["items"][0]["spec"] == {"a": "x", "b": 5}
    versions[0]["deprecated"] = True
    assert plane.ask("PATCH", boats.definition, {"spec": {"versions": versions}}, MERGE).status == 200
    eventually(lambda: plane.ask("GET", boats.path("v1", "a")).warnings != ())
    boats.forget()
    assert plane.ask("GET", boats.path("v1", "a")).status == 404


def test_definitions_are_served_after_a_restart(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as plane:
        boats = Boats(plane, "restart.example.com")
        boats.define(version("v1", a={"type": "string"}))
        boats.make("v1", "a", a="x")
        plane.stop()
        plane.start()
        assert boats.spec("v1", "a") == {"a": "x"}  # the very first request
        assert plane.ask("GET", "/apis/restart.example.com/v1").body["resources"][0]["name"] == "boats"
        assert plane.ask("PATCH", boats.path("v1", "a"), {"spec": {"a": 3}}, MERGE).status == 422
        boats.forget()
