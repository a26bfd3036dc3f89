from __future__ import annotations

import asyncio

from api_core import make_server

from wherry.aio.virtual import run_virtual

EVENTS = "/api/v1/namespaces/shop/events"


def test_events_live_for_an_hour_after_they_last_happened() -> None:
    async def main() -> None:
        server = await make_server()
        housekeeping = asyncio.create_task(server.app.run())
        event = {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "shop"},
            "reason": "R",
            "type": "Normal",
        }
        assert (await server.ask("POST", EVENTS, event)).status == 201
        await asyncio.sleep(3500)
        assert (await server.ask("GET", f"{EVENTS}/e")).status == 200
        await asyncio.sleep(200)
        assert (await server.ask("GET", f"{EVENTS}/e")).status == 404
        housekeeping.cancel()
        await asyncio.gather(housekeeping, return_exceptions=True)

    run_virtual(main())
