"""ServiceCIDRs beside `--service-cidr`, as "Extend Service IP Ranges" tells: a full range, another one, and its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from world import World, world

from wherry.aio.clock import rfc3339
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from wherry.api.types import Obj
from wherry.apiserver.bootstrap import keeper
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects, kept_objects
from wherry.apiserver.registry.allocation import service_allocators
from wherry.controllers import ip_addresses, service_cidr

SMALL = "10.96.0.0/29"  # six addresses, one of them the API's


@asynccontextmanager
async def ranges() -> AsyncIterator[World]:
    async with world(nodes=0) as w:
        reader = w.app.core.reader
        w.app.core.allocators = service_allocators([], random.Random(1), SMALL, reader=reader)
        options = BootstrapOptions(rfc3339(w.clock.time()), w.scheme, service_cidr=SMALL)
        await ensure(w.client, w.scheme, bootstrap_objects(options))
        kept = keeper.build(w.client, w.factory, w.clock, w.scheme, kept_objects(options))
        for controller in (w.add(ip_addresses), w.add(service_cidr), kept):
            w.started.append(asyncio.create_task(controller.run()))
        await asyncio.sleep(1)
        yield w


async def serve(w: World, name: str, address: str = "") -> str:
    """A Service's address."""
    spec: Obj = {"ports": [{"port": 80}]} | ({"clusterIP": address} if address else {})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    made = await w.client.create(SERVICES, service)
    return str(made["spec"]["clusterIP"])


async def fill(w: World) -> None:
    for number in range(5):
        await serve(w, f"s{number}")


def refused(error: pytest.ExceptionInfo[StatusError]) -> str:
    assert error.value.code == 422
    return error.value.message


async def add(w: World, name: str, *cidrs: str) -> Obj:
    """A range, once it is ready."""
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name}}
    await w.client.create(SERVICE_CIDRS, {**body, "spec": {"cidrs": list(cidrs)}})
    await asyncio.sleep(1)
    return await w.client.get(SERVICE_CIDRS, name)


def test_a_full_range_gets_another_beside_it() -> None:
    async def main() -> None:
        async with ranges() as w:
            await fill(w)
            with pytest.raises(StatusError) as error:
                await serve(w, "more")
            assert refused(error).endswith("failed to allocate IP <nil>: range is full")
            made = await add(w, "second", "10.97.0.0/24")
            assert made["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
            condition = made["status"]["conditions"][0]
            assert (condition["type"], condition["status"]) == ("Ready", "True")
            address = await serve(w, "more")
            assert address.startswith("10.97.0.")
            assert await serve(w, "wanted", "10.97.0.7") == "10.97.0.7"
            told = await w.until(lambda: w.get(IP_ADDRESSES, address, ""))
            assert told["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "more"}

    run_virtual(main())


def test_an_address_somebody_else_holds_is_not_given_out() -> None:
    async def main() -> None:
        async with ranges() as w:
            body = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.96.0.3"}}
            await w.client.create(IP_ADDRESSES, {**body, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}})
            given = {await serve(w, f"s{number}") for number in range(4)}
            assert "10.96.0.3" not in given
            with pytest.raises(StatusError) as error:
                await serve(w, "mine", "10.96.0.3")
            assert refused(error).endswith("failed to allocate IP 10.96.0.3: provided IP is already allocated")
            with pytest.raises(StatusError) as error:
                await serve(w, "last")
            assert refused(error).endswith("range is full")

    run_virtual(main())


def test_a_range_goes_when_its_last_address_has_gone() -> None:
    async def main() -> None:
        async with ranges() as w:
            await fill(w)
            await add(w, "second", "10.97.0.0/24")
            address = await serve(w, "more")
            await w.until(lambda: w.get(IP_ADDRESSES, address, ""))
            await w.client.delete(SERVICE_CIDRS, "second")
            await asyncio.sleep(60)
            held = await w.client.get(SERVICE_CIDRS, "second")
            condition = held["status"]["conditions"][0]
            assert (condition["status"], condition["reason"]) == ("False", "Terminating")
            assert condition["message"].startswith("There are still IPAddresses referencing the ServiceCIDR")
            with pytest.raises(StatusError) as error:
                await serve(w, "late")
            assert refused(error).endswith("range is full")
            await w.client.delete(SERVICES, "more", "default")

            async def gone() -> bool:
                return await w.get(SERVICE_CIDRS, "second", "") is None

            await w.until(gone)

    run_virtual(main())


def test_the_first_range_is_held_by_the_api_and_comes_back() -> None:
    async def main() -> None:
        async with ranges() as w:
            uid = (await w.client.get(SERVICE_CIDRS, "kubernetes"))["metadata"]["uid"]
            await w.client.delete(SERVICE_CIDRS, "kubernetes")
            await asyncio.sleep(60)
            held = await w.client.get(SERVICE_CIDRS, "kubernetes")
            assert held["status"]["conditions"][0]["reason"] == "Terminating"
            await add(w, "around", "10.96.0.0/16")  # another home for its addresses

            async def again() -> bool:
                found = await w.get(SERVICE_CIDRS, "kubernetes", "")
                return found is not None and found["metadata"]["uid"] != uid

            await w.until(again)
            await asyncio.sleep(1)
            condition = (await w.client.get(SERVICE_CIDRS, "kubernetes"))["status"]["conditions"][0]
            assert (condition["status"], condition["message"]) == ("True", "Kubernetes Service CIDR is ready")

    run_virtual(main())


def test_a_range_without_room_and_one_of_the_other_family_give_nothing() -> None:
    async def main() -> None:
        async with ranges() as w:
            await fill(w)
            await add(w, "point", "10.98.0.1/32")
            await add(w, "six", "fd00:1234::/64")
            with pytest.raises(StatusError) as error:
                await serve(w, "more")
            assert refused(error).endswith("range is full")

    run_virtual(main())


def test_a_service_that_lost_its_range_is_told() -> None:
    async def main() -> None:
        async with ranges() as w:
            await add(w, "second", "10.97.0.0/24")
            address = await serve(w, "lost", "10.97.0.7")
            await w.client.delete(SERVICE_CIDRS, "second")
            await w.client.patch(SERVICE_CIDRS, "second", {"metadata": {"finalizers": None}}, type="merge")
            text = f"Cluster IP [IPv4]: {address} is not within any configured Service CIDR; please recreate service"

            async def told() -> bool:
                return f"ClusterIPOutOfRange: {text}" in await w.reasons("lost")

            await w.until(told)
            assert (await w.client.get(SERVICES, "lost", "default"))["spec"]["clusterIP"] == address

    run_virtual(main())
