"""Endpoints made by hand are shown as EndpointSlices, change with them and go with them."""

from __future__ import annotations

import asyncio

from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from wherry.api.types import Obj
from wherry.controllers import endpointslice_mirroring


async def start(w: World) -> None:
    w.started.append(asyncio.create_task(w.add(endpointslice_mirroring).run()))
    spec = {"ports": [{"port": 5432}]}
    metadata = {"name": "db", "namespace": "default"}
    await w.client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def by_hand(*addresses: str, **labels: str) -> Obj:
    metadata = {"name": "db", "namespace": "default", "labels": labels or {"team": "data"}}
    subset = {"addresses": [{"ip": one} for one in addresses], "ports": [{"port": 5432}]}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]}


async def mirrored(w: World, *addresses: str) -> list[Obj]:
    async def done() -> bool:
        slices = await w.items(ENDPOINT_SLICES)
        return sorted(end["addresses"][0] for one in slices for end in one["endpoints"]) == sorted(addresses)

    await w.until(done)
    return await w.items(ENDPOINT_SLICES)


def test_endpoints_made_by_hand_reach_the_network() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(ENDPOINTS, by_hand("10.1.2.3"))
            (one,) = await mirrored(w, "10.1.2.3")
            assert one["metadata"]["labels"] == {
                "team": "data",
                "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
            }
            assert one["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
            assert one["ports"] == [{"name": "", "protocol": "TCP", "port": 5432}]
            assert one["endpoints"][0]["conditions"] == {"ready": True}
            live = await w.client.get(ENDPOINTS, "db", "default")
            await w.client.update(ENDPOINTS, {**live, "subsets": by_hand("10.1.2.3", "10.1.2.4")["subsets"]})
            (same,) = await mirrored(w, "10.1.2.3", "10.1.2.4")
            assert same["metadata"]["uid"] == one["metadata"]["uid"]
            await asyncio.sleep(30)
            assert (await w.items(ENDPOINT_SLICES))[0]["metadata"] == same["metadata"]  # nothing is written again
            await w.client.delete(ENDPOINTS, "db", "default", propagation="Background")
            await mirrored(w)

    run_virtual(main())


def test_both_families_and_a_service_that_gets_a_selector() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(ENDPOINTS, by_hand("10.1.2.3", "fd00::1"))
            slices = await mirrored(w, "10.1.2.3", "fd00::1")
            assert {one["addressType"] for one in slices} == {"IPv4", "IPv6"}
            await w.client.patch(SERVICES, "db", {"spec": {"selector": {"app": "db"}}}, "default", type="merge")

            async def gone() -> bool:
                found = await w.items(ENDPOINT_SLICES)
                return not any("mirroring" in str(one["metadata"]["labels"]) for one in found)

            await w.until(gone)

    run_virtual(main())


def test_who_says_no_is_not_mirrored() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            await w.client.create(ENDPOINTS, by_hand("10.1.2.3", **{"endpointslice.kubernetes.io/skip-mirror": "true"}))
            await asyncio.sleep(10)
            assert await w.items(ENDPOINT_SLICES) == []

    run_virtual(main())


def test_a_thousand_addresses_of_a_subset_and_no_more() -> None:
    async def main() -> None:
        async with world() as w:
            await start(w)
            many = by_hand(*(f"10.1.{number // 250}.{number % 250 + 1}" for number in range(998)))
            six = [{"ip": f"fd00::{number}"} for number in range(1, 6)]
            many["subsets"][0]["notReadyAddresses"] = six
            await w.client.create(ENDPOINTS, many)
            await asyncio.sleep(5)
            slices = await w.items(ENDPOINT_SLICES)
            assert {one["addressType"]: len(one["endpoints"]) for one in slices} == {"IPv4": 998, "IPv6": 2}
            text = "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"
            assert set(await w.reasons("db")) == {f"TooManyAddressesToMirror: {text}"}

    run_virtual(main())
