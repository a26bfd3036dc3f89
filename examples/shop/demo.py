"""`make demo`: bring the shop up, buy something, let the cart scale under load, update a service under load.

Uses nothing but `wherry` itself, the shop's pages and the API: what it does you can do by hand, and it says how.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import load
from client import HERE, Api, System, Visitor

SCALE_SECONDS = 60
CART_PODS_MIN = 1  # minReplicas in k8s/cart-hpa.yaml
BACK_SECONDS = 120
PARCEL_SECONDS = 30
CONNECTIONS = 8


def say(text: str = "") -> None:
    print(text, flush=True)


def buy(shop: Visitor) -> None:
    """Register, fill the cart, pay, follow the parcel to the door."""
    say("\nA visitor buys something")
    name = f"visitor-{int(time.time())}"
    shop.post("/login", email=f"{name}@example.com", password="correct horse", name=name, action="register")
    for sku, quantity in (("oar", 2), ("lantern", 1)):
        shop.post(f"/cart/{sku}", quantity=quantity)
        say(f"  {quantity} × {sku} put into the cart")
    key = re.search(r'name="key" value="([^"]+)"', shop.get("/cart"))
    page, address = shop.post("/checkout", key=key[1] if key else "", method="card")
    if "/orders/" not in address:
        raise SystemExit(f"the order was not taken: {address}")
    order = address.rsplit("/", 1)[1]
    say(f"  order {order}: {'confirmed' if 'Thank you' in page else 'accepted'}")
    seen, end = "", time.monotonic() + PARCEL_SECONDS
    while seen != "delivered" and time.monotonic() < end:
        state = re.search(r'id="parcel-state">([^<]+)', shop.get(f"/orders/{order}"))
        if state and state[1] != seen:
            seen = state[1]
            say(f"  parcel: {seen}")
        time.sleep(0.3)
    if seen != "delivered":
        raise SystemExit(f"order {order} was not delivered within {PARCEL_SECONDS} s: wherry logs tracking")


async def scale(shop: Visitor, api: Api) -> None:
    """Load on the cart page until the HorizontalPodAutoscaler has added pods, then quiet until they are gone."""
    say("\nThe cart under load")
    shop.post("/cart/rope", quantity=3)
    await _until_quiet(api)  # an earlier demonstration may have left it scaled out
    begin, before = time.monotonic(), await asyncio.to_thread(api.ready, "cart")
    async with load.running([f"{shop.url}/cart"], CONNECTIONS, {"Cookie": shop.cookie}) as result:
        now = before
        while now <= before and time.monotonic() - begin < SCALE_SECONDS:
            await asyncio.sleep(0.3)
            now = await asyncio.to_thread(api.ready, "cart")
    if now <= before:
        raise SystemExit(f"the cart did not scale out within {SCALE_SECONDS} s: kubectl describe hpa cart -n shop")
    say(f"  {before} → {now} pods ready after {time.monotonic() - begin:.1f} s of load, {_summary(result)}")
    begin = time.monotonic()
    await _until_quiet(api)
    say(f"  back to {CART_PODS_MIN} after {time.monotonic() - begin:.0f} s of quiet")


async def _until_quiet(api: Api) -> None:
    """Until the cart has as many pods as it needs without load."""
    begin = time.monotonic()
    while await asyncio.to_thread(api.ready, "cart") > CART_PODS_MIN:
        if time.monotonic() - begin > BACK_SECONDS:
            raise SystemExit(f"the cart did not scale back within {BACK_SECONDS} s: kubectl describe hpa cart -n shop")
        await asyncio.sleep(0.5)


async def update(system: System, shop: Visitor) -> int:
    """A new version of the storefront while visitors come; the number of requests that failed."""
    say("\nA new version of the storefront, under load")
    pages = [f"{shop.url}/", f"{shop.url}/products/oar", f"{shop.url}/products/map"]
    async with load.running(pages, CONNECTIONS) as result:
        to = "v1" if "storefront v2" in shop.get("/") else "v2"
        profile = ["-p", "v2"] if to == "v2" else []
        process = await asyncio.create_subprocess_exec(
            *system.command("up", str(HERE), *profile), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        await asyncio.sleep(3)  # the last of the old pods are still saying goodbye
    if process.returncode:
        say(output.decode())
        raise SystemExit("the update failed")
    say(f"  every page says {to} now: {f'storefront {to}' in shop.get('/')}; {_summary(result)}")
    for problem, count in result.problems.items():
        say(f"  {count} × {problem}")
    return result.failed


def _summary(result: load.Result) -> str:
    p50, p99 = result.percentile(0.5) * 1000, result.percentile(0.99) * 1000
    return f"{len(result.seconds)} pages served, p50 {p50:.0f} ms, p99 {p99:.0f} ms, {result.failed} failed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    System.add_options(parser)
    options, more = parser.parse_known_args()  # more is for the first `wherry up`: --tier, --port
    system = System(options.name, options.state_dir)
    begin = time.monotonic()
    code = subprocess.call(system.command("up", str(HERE), *more))
    if code:
        return code
    status = system.status()
    shop, api = Visitor(status), Api(status)
    say(f"the shop is open after {time.monotonic() - begin:.1f} s: {shop.url}")
    buy(shop)
    asyncio.run(scale(shop, api))
    failed = asyncio.run(update(system, shop))
    say(f"\nThe shop stays open at {shop.url}\n")
    wherry = "wherry" if shutil.which("wherry") else os.path.relpath(Path(sys.executable).with_name("wherry"))
    say("Try next:")
    say(f"  open {shop.url} in a browser (no JavaScript needed)")
    say("  kubectl get pods -n shop -o wide        kubectl top pods -n shop")
    say("  kubectl rollout undo deployment/storefront -n shop")
    say(
        "  make oracle                             buy while services and the broker are killed, then compare all books"
    )
    say(f"  {wherry} logs orders -f")
    say(f"  {wherry} status")
    say(f"  {wherry} down --delete")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
