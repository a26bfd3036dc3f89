"""One IPAddress per cluster address, as long as a Service holds it."""

from __future__ import annotations

import asyncio

from world import world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import IP_ADDRESSES, SERVICES
from wherry.controllers import ip_addresses


def test_addresses_follow_services() -> None:
    async def main() -> None:
        async with world() as w:
            w.started.append(asyncio.create_task(w.add(ip_addresses).run()))
            service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
            made = await w.client.create(SERVICES, {**service, "spec": {"ports": [{"port": 80}]}})
            address = made["spec"]["clusterIP"]
            told = await w.until(lambda: w.get(IP_ADDRESSES, address, ""))
            assert told["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}}
            assert told["metadata"]["labels"] == {
                "ipaddress.kubernetes.io/ip-family": "IPv4",
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            }
            await w.client.delete(IP_ADDRESSES, address)
            uid = told["metadata"]["uid"]

            async def again() -> bool:
                found = await w.get(IP_ADDRESSES, address, "")
                return found is not None and found["metadata"]["uid"] != uid

            await w.until(again)
            other = {"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "192.0.2.1"}}
            await w.client.create(IP_ADDRESSES, {**other, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}})
            await w.client.delete(SERVICES, "web", "default")

            async def gone() -> bool:
                return await w.get(IP_ADDRESSES, address, "") is None

            await w.until(gone)
            assert await w.get(IP_ADDRESSES, "192.0.2.1", "") is not None

    run_virtual(main())
