"""No body, however odd, makes any kind answer 500: each is stored, or refused with a reason."""

from __future__ import annotations

import random
from typing import Any

import pytest
from api_core import make_server

from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.registry.allocation import service_allocators

CONTAINER = {
    "name": "c",
    "image": "i",
    "ports": [{}],
    "env": [{}],
    "envFrom": [{}],
    "volumeMounts": [{}],
    "livenessProbe": {},
}
BODIES: list[Any] = [
    {},
    {"metadata": {"name": "x"}},
    {"metadata": {"name": "y"}, "spec": {}},
    {"metadata": {"name": "z"}, "spec": None, "status": {}, "data": None, "rules": None, "subjects": None},
    {"metadata": {"name": "w", "labels": {"a": None}, "ownerReferences": [{}], "finalizers": [""]}},
    {
        "metadata": {"name": "v"},
        "spec": {"template": {}, "selector": {}, "containers": [{}], "ports": [{}], "rules": [{}]},
    },
    {
        "metadata": {"name": "u"},
        "spec": {"template": {"spec": {"containers": [CONTAINER], "volumes": [{"name": "a"}]}}},
    },
    {
        "metadata": {"name": "t"},
        "rules": [{}],
        "subjects": [{}],
        "roleRef": {},
        "subsets": [{}],
        "endpoints": [{}],
        "webhooks": [{}],
    },
]
KINDS = sorted(Scheme.load().resources)
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
PATCHES = [{"spec": None}, {"metadata": {"labels": None}}, {"status": None}, {"status": {"conditions": [{}]}}]


@pytest.mark.parametrize("gvr", KINDS, ids=lambda gvr: ".".join(filter(None, reversed(gvr))))
async def test_every_kind(gvr: GVR) -> None:
    server = await make_server(allocators=service_allocators([], random.Random(1)))
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    resource = Scheme.load().resources[gvr]
    path = gvr.path("shop" if resource.namespaced else None)
    for body in BODIES:
        said = [await server.ask("POST", path, body)]
        one = f"{path}/{body.get('metadata', {}).get('name', 'x')}"
        said += [await server.ask("PUT", one, body), await server.ask("PATCH", one, body, content_type=STRATEGIC)]
        for patch in PATCHES:
            said += [await server.ask("PATCH", target, patch, content_type=MERGE) for target in (one, f"{one}/status")]
        said.append(await server.ask("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
        said.append(await server.ask("DELETE", one))
        for each in said:
            assert each.status != 500 or each.body.get("reason") != "InternalError", each.body
