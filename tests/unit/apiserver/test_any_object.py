"""Any object that is right in type, of any kind, sent to the path of its kind: stored, or refused with a reason; never a 500."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from api_core import make_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kind_strategies import SCHEME, has_message, objects
from protobuf_writer import encode

from wherry.apiserver import protobuf
from wherry.apiserver.registry.allocation import service_allocators

RESOURCES = [
    each for each in SCHEME.resources.values() if "create" in each.verbs and has_message(each.api_version, each.kind)
]
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_it_is_stored_or_refused(data: st.DataObject) -> None:
    server = await make_server(allocators=service_allocators([], random.Random(1)))
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    resource = data.draw(st.sampled_from(RESOURCES))
    path = resource.gvr.path("shop" if resource.namespaced else None)
    name = protobuf.message_name(resource.api_version, resource.kind)
    schema = SCHEME.schema(resource)
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, **data.draw(objects(name, schema, 1))}
    obj["metadata"] = {"name": "x"} | ({"labels": {"a": "b"}} if data.draw(st.booleans()) else {})
    body, media = json.dumps(obj).encode(), "application/json"
    if data.draw(st.booleans()):
        body, media = encode(obj, schema), "application/vnd.kubernetes.protobuf"
    made = await server.ask("POST", path, body, content_type=media)
    assert made.status < 500, (obj, made.body)
    if made.status != 201 or "get" not in resource.verbs:
        return
    if "patch" in resource.verbs:
        patch = data.draw(objects(name, schema, 2))
        patch.pop("metadata", None)
        said = await server.ask("PATCH", f"{path}/x", patch, content_type=data.draw(st.sampled_from(PATCHES)))
        assert said.status < 500, (obj, patch, said.body)
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    for target in (path, f"{path}/x"):
        assert (await server.ask("GET", target, **table)).status == 200
    assert (await server.ask("DELETE", f"{path}/x")).status < 500


HOSTILE = ("9" * 5000, "9" * 5000 + "%", "²", "²%", "9" * 5000 + "Gi", "9" * 5000 + "/" + "9" * 5000, "1e" + "9" * 5000)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_no_text_is_read_as_a_number_that_breaks_us(data: st.DataObject) -> None:
    server = await make_server(allocators=service_allocators([], random.Random(1)))
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    resource = data.draw(st.sampled_from(RESOURCES))
    name = protobuf.message_name(resource.api_version, resource.kind)
    obj = data.draw(objects(name, SCHEME.schema(resource), 1))
    obj["metadata"] = {"name": "x", "annotations": {"controller.kubernetes.io/pod-deletion-cost": "1"}}
    places = list(texts(obj))
    for where, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
        where[key] = data.draw(st.sampled_from(HOSTILE))
    path = resource.gvr.path("shop" if resource.namespaced else None)
    said = await server.ask("POST", path, {"apiVersion": resource.api_version, "kind": resource.kind, **obj})
    assert said.status < 500, (resource.kind, said.body)


def texts(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every text and number in it."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(below, dict | list):
            yield from texts(below)
        elif not isinstance(below, bool):
            yield value, key
