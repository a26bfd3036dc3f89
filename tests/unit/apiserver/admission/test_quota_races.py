"""ResourceQuota under many writers at once, and for updates that take more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server
from hypothesis import given
from hypothesis import strategies as st

from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj
from wherry.apiserver.registry.allocation import service_allocators

QUOTAS = "/api/v1/namespaces/shop/resourcequotas"
CLAIMS = "/api/v1/namespaces/shop/persistentvolumeclaims"
SERVICES = "/api/v1/namespaces/shop/services"
MERGE = "application/merge-patch+json"


async def with_quota(**hard: str) -> Server:
    server = await make_server(allocators=service_allocators([], random.Random(1)))
    said = await server.ask("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    assert said.status == 201, said.body
    return server


def claim(name: str, gigabytes: int) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{gigabytes}Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


class Slow:
    """Storage that takes its time: every write of the wrapped one ends some turns of the loop later."""

    def __init__(self, inner: Any, turns: Sequence[int]) -> None:
        self._inner, self._turns, self._next = inner, turns, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, key: str, value: Obj) -> Any:
        self._next += 1
        for _ in range(self._turns[self._next % len(self._turns)]):
            await asyncio.sleep(0)
        entry = await self._inner.create(key, value)
        await asyncio.sleep(0)  # stored, and not yet over
        return entry


def slow_down(server: Server, turns: Sequence[int], plural: str) -> None:
    served = next(each for each in server.app.core.served.values() if each.resource.resource == plural)
    served.registry._storage = Slow(served.registry._storage, turns)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    turns=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    names=st.integers(1, 12),
)
def test_many_writers_cannot_beat_a_quota(sizes: list[int], turns: list[int], names: int) -> None:
    """Whoever is told 201 is there, together they fit, and nobody is refused for whom there was room."""

    async def main() -> None:
        server = await with_quota(**{"requests.storage": "10Gi", "persistentvolumeclaims": "4"})
        slow_down(server, turns, "persistentvolumeclaims")
        wishes = [claim(f"c{index % names}", size) for index, size in enumerate(sizes)]
        answers = await asyncio.gather(*(server.ask("POST", CLAIMS, wish) for wish in wishes))
        assert {said.status for said in answers} <= {201, 403, 409}
        there = (await server.ask("GET", CLAIMS)).body["items"]
        assert len(there) == sum(said.status == 201 for said in answers)
        taken = sum(int(each["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) for each in there)
        assert taken <= 10
        assert len(there) <= 4
        if len(there) < 4 and taken < 10:
            one_more = await server.ask("POST", CLAIMS, claim("last", 10 - taken))
            assert one_more.status == 201, "a place that was counted and given up is free again"

    run_virtual(main())


async def test_what_failed_takes_no_place() -> None:
    server = await with_quota(configmaps="1")
    assert (await server.ask("POST", MAPS, config_map("Not A Name"))).status == 422
    assert (await server.ask("POST", f"{MAPS}?dryRun=All", config_map("a"))).status == 201
    assert (await server.ask("POST", MAPS, config_map("a"))).status == 201
    said = await server.ask("POST", MAPS, config_map("b"))
    text = "exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    assert said.message == f'configmaps "b" is forbidden: {text}'


@pytest.mark.parametrize(("kind", "status"), [("NodePort", 403), ("ClusterIP", 200)])
async def test_an_update_that_takes_more(kind: str, status: int) -> None:
    server = await with_quota(**{"services.nodeports": "0"})
    made = await server.ask("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert made.status == 201, made.body
    said = await server.ask("PATCH", f"{SERVICES}/s", {"spec": {"type": kind}}, content_type=MERGE)
    assert said.status == status, said.body
