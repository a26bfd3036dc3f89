"""The storefront's view of the other services: short calls, repeated where that is safe, `None` where one can do without."""

from __future__ import annotations

import logging
from typing import Any

import httpx

from shopkit.settings import SERVICE, setting

SECONDS = 2.0
CHECKOUT_SECONDS = 6.0  # orders answers within three, also when payments is slow
ATTEMPTS = 3
REPEATABLE = ("GET", "PUT", "DELETE")
log = logging.getLogger(SERVICE)


class Down(Exception):
    """A service the page cannot do without does not answer."""


class Backend:
    """One client for all services; thread-safe."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        names = ("products", "cart", "user", "orders", "tracking")
        self._urls = {name: setting(f"{name.upper()}_URL", f"http://{name}:8000") for name in names}
        limits = httpx.Limits(max_connections=64, keepalive_expiry=2)
        self._client = httpx.Client(timeout=SECONDS, transport=transport, limits=limits)

    def call(self, service: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Raises Down. A POST is repeated only when it carries an Idempotency-Key."""
        repeatable = method in REPEATABLE or "Idempotency-Key" in (options.get("headers") or {})
        for attempt in range(ATTEMPTS):
            try:
                answer = self._client.request(method, self._urls[service] + path, **options)
            except httpx.ConnectError as error:  # nothing was sent: always safe to repeat
                problem = f"{service}: {error}"
            except httpx.TransportError as error:
                problem = f"{service}: {type(error).__name__}"
                if not repeatable:
                    break
            else:
                if answer.status_code < 500:
                    return answer
                problem = f"{service} answered {answer.status_code}"
                if not repeatable:
                    break
            log.warning("call failed", extra={"data": {"why": problem, "attempt": attempt + 1}})
        raise Down(problem)

    def products(self, query: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.call("products", "GET", "/products", params={"q": query}).json()["items"]
        return items

    def product(self, sku: str) -> dict[str, Any] | None:
        answer = self.call("products", "GET", f"/products/{sku}")
        return answer.json() if answer.status_code == 200 else None

    def cart(self, cart: str) -> list[dict[str, Any]]:
        """Lines with what products says about them now; a product that is gone is left out."""
        lines = []
        for line in self.call("cart", "GET", f"/carts/{cart}").json()["lines"]:
            product = self.product(line["sku"])
            if product:
                lines.append({**product, **line, "total": product["price_cents"] * line["quantity"]})
        return lines

    def parcel(self, order_id: str) -> dict[str, Any] | None:
        """None when there is none yet, or tracking is away: the page is shown without."""
        try:
            answer = self.call("tracking", "GET", f"/shipments/{order_id}")
        except Down:
            return None
        return answer.json() if answer.status_code == 200 else None
