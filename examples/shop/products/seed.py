"""Fills the catalogue through the service's own API: what the `seed` Job runs.

Running it again leaves the stock alone; `python -m products.seed 1000` gives every product a stock of 1000.
"""

from __future__ import annotations

import sys
import time

import httpx

from shopkit.settings import setting

CATALOGUE = [
    ("anchor", "Anchor mug", "Holds 0.4 litres of coffee and never drifts.", 1290, 500, "mug"),
    ("compass", "Brass compass", "Points north, also without a network.", 3450, 200, "compass"),
    ("flag", "Signal flag", "Cotton, sewn by hand: «I need a pilot».", 1990, 300, "flag"),
    ("lantern", "Deck lantern", "Stays lit when everything else restarts.", 4200, 150, "lantern"),
    ("map", "River chart", "Every shoal between the pier and the sea.", 2500, 250, "map"),
    ("oar", "Ash oar", "Two metres forty, oiled; works in pairs.", 5900, 120, "oar"),
    ("rope", "Twenty metres of rope", "Hemp, tarred; knots not included.", 1750, 400, "rope"),
    ("whistle", "Bosun's whistle", "Logs one line per event, loudly.", 890, 600, "whistle"),
]
ATTEMPTS = 30


def main(stock_of_each: int | None = None) -> int:
    """Fill an empty catalogue; with a number, also give every product that stock."""
    with httpx.Client(base_url=setting("PRODUCTS_URL"), headers={"X-Admin-Key": setting("ADMIN_KEY")}) as client:
        for sku, name, description, price, stock, art in CATALOGUE:
            body = {"name": name, "description": description, "price_cents": price, "stock": stock, "art": art}
            if stock_of_each is not None:
                body["stock"] = stock_of_each
            if not put(client, sku, body, keep_stock=stock_of_each is None):
                return 1
    print(f"{len(CATALOGUE)} products in the catalogue")
    return 0


def put(client: httpx.Client, sku: str, body: dict[str, object], *, keep_stock: bool) -> bool:
    for attempt in range(ATTEMPTS):
        try:
            existing = client.get(f"/products/{sku}")
            if existing.status_code == 200 and keep_stock:
                body = {key: value for key, value in body.items() if key != "stock"}  # orders may have taken some
            answer = client.put(f"/products/{sku}", json=body)
            if answer.status_code == 200:
                return True
            print(f"{sku}: {answer.status_code} {answer.text}", file=sys.stderr)
            if answer.status_code < 500:
                return False
        except httpx.TransportError as error:
            print(f"{sku}: {error}, attempt {attempt + 1} of {ATTEMPTS}", file=sys.stderr)
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
