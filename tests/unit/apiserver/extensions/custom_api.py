"""An API server that serves custom resources, and the definition most tests begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api_core import Server, make_server

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/shop/widgets"
SIZE = {"type": "integer", "minimum": 0, "maximum": 9, "default": 1}
SPEC = {"type": "object", "properties": {"size": SIZE, "note": {"type": "string"}}}
SCHEMA = {
    "type": "object",
    "properties": {"spec": SPEC, "status": {"type": "object", "properties": {"phase": {"type": "string"}}}},
}


def version(name: str = "v1", schema: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or SCHEMA}} | more


def definition(*versions: Any, plural: str = "widgets", kind: str = "Widget", **spec: Any) -> dict[str, Any]:
    names = {"plural": plural, "kind": kind} | spec.pop("names", {})
    body = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": list(versions) or [version()]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": body | spec,
    }


def widget(name: str = "w", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}} | more


@asynccontextmanager
async def serving(*definitions: Any) -> AsyncIterator[Server]:
    """With these definitions established."""
    server = await make_server()
    running = asyncio.create_task(server.app.run())
    try:
        for each in definitions:
            said = await server.ask("POST", DEFINITIONS, each)
            assert said.status == 201, said.body
            await established(server, each["metadata"]["name"])
        yield server
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def established(server: Server, name: str) -> dict[str, Any]:
    """The definition, once its conditions have come."""
    for _ in range(1000):
        body: dict[str, Any] = (await server.ask("GET", f"{DEFINITIONS}/{name}")).body
        if conditions(body):
            return body
        await asyncio.sleep(0.01)
    raise AssertionError("no conditions")


def conditions(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in body["status"].get("conditions") or ()}
