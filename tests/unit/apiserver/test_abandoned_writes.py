"""What becomes of a write whose caller has gone while it was on its way to the disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from api_core import Server, make_server

from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj
from wherry.apiserver.registry.allocation import NODE_PORTS, SERVICE_IPS, service_allocators
from wherry.testing.simulation.disk import FSYNC_SECONDS, Disk
from wherry.testing.simulation.disk_storage import DiskStorage

SERVICES = "/api/v1/namespaces/shop/services"


async def server_over(disk: Disk) -> Server:
    return await make_server(DiskStorage(disk), allocators=service_allocators([], random.Random(1)))


async def abandon(request: Coroutine[Any, Any, Any], disk: Disk) -> None:
    """Go away in the midst of the request's write; return when that is over."""
    task = asyncio.create_task(request)
    await disk.busy()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(10 * FSYNC_SECONDS)


def web() -> Obj:
    spec = {"type": "NodePort", "clusterIP": "10.96.7.7", "ports": [{"port": 80, "nodePort": 30777}]}
    return {"metadata": {"name": "web"}, "spec": spec}


async def _left(full: bool, method: str, path: str, body: Any) -> tuple[int, int]:
    """How many addresses and ports are held after a request to change `web` was abandoned."""
    disk = Disk(random.Random(1))
    server = await server_over(disk)
    assert (await server.ask("POST", SERVICES, web())).status == 201
    disk.full += full
    await abandon(server.ask(method, path, body, content_type="application/merge-patch+json"), disk)
    held = server.app.core.allocators
    return held[SERVICE_IPS].held, held[NODE_PORTS].held


OUTWARD = {"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": None, "ports": None}}


def test_an_update_that_is_stored_in_the_end_gives_back_what_the_service_lost() -> None:
    assert run_virtual(_left(False, "PATCH", f"{SERVICES}/web", OUTWARD)) == (0, 0)


def test_an_update_that_fails_in_the_end_gives_nothing_back() -> None:
    assert run_virtual(_left(True, "PATCH", f"{SERVICES}/web", OUTWARD)) == (1, 1)


def test_a_removal_that_is_stored_in_the_end_gives_everything_back() -> None:
    assert run_virtual(_left(False, "DELETE", f"{SERVICES}/web", None)) == (0, 0)


def test_a_removal_that_fails_in_the_end_gives_nothing_back() -> None:
    assert run_virtual(_left(True, "DELETE", f"{SERVICES}/web", None)) == (1, 1)


def test_what_an_update_takes_is_taken_once_it_is_stored_and_free_when_it_fails() -> None:
    more = {"spec": {"ports": [{"port": 80, "nodePort": 30777}, {"name": "b", "port": 81, "nodePort": 30778}]}}
    more["spec"]["ports"][0]["name"] = "a"
    assert run_virtual(_left(False, "PATCH", f"{SERVICES}/web", more)) == (1, 2)
    assert run_virtual(_left(True, "PATCH", f"{SERVICES}/web", more)) == (1, 1)
