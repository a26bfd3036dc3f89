"""`make oracle`: visitors buy while services and the broker are killed at random; then all databases must agree.

Whatever was ordered is ordered once, paid once if confirmed, shipped once, and taken from the stock. The databases are
read from their volumes, as copies; the shop itself is not asked. The same seed gives the same visitors and victims.

python verify.py --orders 600 --visitors 8 --kills 16 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
import urllib.error
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from client import NAMESPACE, Api, System, Visitor, processes

T = TypeVar("T")
SERVICES = ("products", "cart", "user", "orders", "payments", "tracking", "storefront", "nats")
SKUS = ("anchor", "compass", "flag", "lantern", "map", "oar", "rope", "whistle")
METHODS = ("card",) * 8 + ("invoice", "declined")
STOCK = 100  # of each product, and one for every order: some still sell out
TICK_SECONDS = 0.02  # more than any file system takes for one tick of its time stamps
PATIENCE_SECONDS = 240.0  # of a visitor and for settling: a service killed thrice is left alone for 40 s, as everywhere


@dataclass
class Wish:
    """One thing somebody wants to buy, and what the shop's pages said about it."""

    key: str = ""
    order_id: str = ""
    told: str = ""  # confirmed, accepted, refused or known


@dataclass
class Books:
    """What all databases say at one moment in which nothing was written."""

    orders: dict[str, dict[str, Any]]
    keys: dict[str, str]  # Idempotency-Key → order
    charges: dict[str, dict[str, Any]]
    parcels: Counter[str]  # order → shipments
    stock: Counter[str]
    reserved: dict[str, Counter[str]]  # order → sku → quantity
    outbox: int

    @property
    def confirmed(self) -> set[str]:
        return {order for order, row in self.orders.items() if row["step"] == "confirmed"}

    @property
    def unfinished(self) -> int:
        return sum(row["step"] not in ("confirmed", "cancelled") for row in self.orders.values())

    @property
    def all_goods(self) -> Counter[str]:
        """What is on the shelf and what was taken from it: no order changes the sum."""
        return sum(self.reserved.values(), Counter(self.stock))

    @property
    def settled(self) -> bool:
        noted = all(self.orders[order]["tracking"] for order in self.confirmed)
        return noted and not (self.unfinished or self.outbox or self.confirmed - set(self.parcels))


class Ledger:
    """Reads the databases of the shop's volumes."""

    def __init__(self, api: Api) -> None:
        self.folders: dict[str, Path] = {}
        for claim in asked(api, f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")["items"]:
            volume = asked(api, f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
            self.folders[claim["metadata"]["name"].removesuffix("-data")] = Path(volume["spec"]["hostPath"]["path"])

    def read(self) -> Books:
        while True:
            # Whoever closes a database last takes its log away, perhaps just now.
            with tempfile.TemporaryDirectory() as folder, contextlib.suppress(FileNotFoundError):
                before = self._copy(Path(folder))
                if before == self._state():  # else something was written meanwhile and the copies may be torn
                    return self._books(Path(folder))
            time.sleep(0.05)

    def settle(self, until: float) -> Books:
        """The books once nothing is under way any more, or what they are at the end."""
        while not (books := self.read()).settled and time.monotonic() < until:
            time.sleep(0.3)
        return books

    def _files(self) -> list[Path]:
        found = [folder / f"{name}.db{end}" for name, folder in self.folders.items() for end in ("", "-wal")]
        return [file for file in found if file.exists()]

    def _state(self) -> list[tuple[str, int, int]]:
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self._files()]

    def _copy(self, folder: Path) -> list[tuple[str, int, int]]:
        """A second write within a tick of the file system's clock does not show: the state of such a moment is none."""
        recent, state = time.time_ns() - TICK_SECONDS * 1e9, self._state()
        for file in self._files():
            shutil.copy(file, folder)
        return [] if any(changed > recent for _, _, changed in state) else state

    def _books(self, folder: Path) -> Books:
        def rows(service: str, query: str) -> list[dict[str, Any]]:
            with sqlite3.connect(folder / f"{service}.db") as database:
                database.row_factory = sqlite3.Row
                found = [dict(row) for row in database.execute(query)]
            database.close()
            return found

        reserved: dict[str, Counter[str]] = {}
        for row in rows("products", "SELECT * FROM reservation"):
            reserved.setdefault(row["order_id"], Counter())[row["sku"]] += row["quantity"]
        return Books(
            orders={row["id"]: row for row in rows("orders", "SELECT * FROM purchase")},
            keys={row["key"].split("/")[1]: row["order_id"] for row in rows("orders", "SELECT * FROM idempotency")},
            charges={row["order_id"]: row for row in rows("payments", "SELECT * FROM charge")},
            parcels=Counter(row["order_id"] for row in rows("tracking", "SELECT order_id FROM shipment")),
            stock=Counter({row["sku"]: row["stock"] for row in rows("products", "SELECT sku, stock FROM product")}),
            reserved=reserved,
            outbox=sum(rows(service, "SELECT count(*) AS n FROM outbox")[0]["n"] for service in _WITH_OUTBOX),
        )


_WITH_OUTBOX = ("products", "cart", "user", "orders", "tracking")


class Buyer:
    """A visitor who repeats whatever failed, as people and browsers do: the same form with the same hidden key."""

    def __init__(self, status: dict[str, Any], number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}/{number}")
        self.visitor = Visitor(status)
        self.form = {"email": f"{uuid.uuid4()}@example.com", "password": "correct horse", "name": f"Visitor {number}"}
        self.registered = False
        self.failures: Counter[str] = Counter()
        self._again = partial(again, failures=self.failures, chance=self.random)

    def buy(self) -> Wish:
        """Raises TimeoutError when the shop never took it."""
        wish = Wish()
        if not self.registered:
            self._again(self._register)
        method = self.random.choice(METHODS)
        lines = {sku: self.random.randint(1, 2) for sku in self.random.sample(SKUS, self.random.randint(1, 3))}
        while not wish.key:
            for sku, number in lines.items():
                self._again(partial(self.visitor.post, f"/cart/{sku}", quantity=number))
            found = re.search(r'name="key" value="([^"]+)"', self._again(lambda: self.visitor.get("/cart")))
            wish.key = found[1] if found else ""
        page, address = self._again(lambda: self.visitor.post("/checkout", key=wish.key, method=method))
        where, _, wish.order_id = address.removeprefix(self.visitor.url).partition("/orders/")
        if wish.order_id:
            wish.told = "confirmed" if "Thank you" in page else "accepted"
        else:  # /orders: the cart was bought already by an earlier attempt
            wish.told = "refused" if where.startswith("/cart?problem=") else "known"
        return wish

    def _register(self) -> None:
        try:
            self.visitor.post("/login", action="register", **self.form)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            self.visitor.post("/login", action="login", **self.form)  # only the first answer was lost
        self.registered = True


def again(action: Callable[[], T], failures: Counter[str], chance: random.Random) -> T:
    """Until it works; what is the asker's own mistake (4xx, but not too many requests) is raised."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except (OSError, http.client.HTTPException) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else 0
            failures[f"status {status}" if status else type(error).__name__] += 1
            if 400 <= status < 500 and status != 429:
                raise
            if time.monotonic() > end:
                raise TimeoutError(f"nothing for {PATIENCE_SECONDS:.0f} s: {error}") from None
            time.sleep(chance.uniform(0.1, 0.4))


def asked(api: Api, path: str) -> dict[str, Any]:
    """A GET of the API, which may be starting or fail on purpose."""
    return again(lambda: api.call(path), Counter(), random.Random(path))


class Killer:
    """Ends processes, sandboxes and pods without a warning, each when a certain number of orders has been placed."""

    def __init__(self, status: dict[str, Any], api: Api, seed: int, orders: int, kills: int) -> None:
        self.status, self.api, self.random = status, api, random.Random(seed)
        self.when = sorted(self.random.randrange(orders) for _ in range(kills))
        self.queue: list[str] = []
        self.done: Counter[str] = Counter()

    def kill(self) -> None:
        time.sleep(self.random.uniform(0, 0.3))
        running = processes(self.status)
        if not self.queue:  # each service once before any again
            self.queue = self.random.sample(SERVICES, len(SERVICES))
        victim = next((each for each in self.queue if any(each == service for _, service in running.values())), None)
        if victim is None:
            return
        self.queue.remove(victim)
        # Two brokers on one volume are nothing a broker promises to survive: its pod is never taken by force.
        how = self.random.choices(("process", "sandbox", "pod"), (6, 2, 0 if victim == "nats" else 2))[0]
        pid, (sandbox, _) = self.random.choice(sorted(item for item in running.items() if item[1][1] == victim))
        try:
            if how == "pod":
                pod = self.random.choice(self.api.pods(victim))["metadata"]["name"]
                self.api.call(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}?gracePeriodSeconds=0", "DELETE")
            else:
                os.kill(pid if how == "process" else sandbox, signal.SIGKILL)
        except (OSError, IndexError):
            return  # it has just ended by itself
        self.done[f"{victim} {how}"] += 1


@dataclass
class Report:
    """Rows of (what, found, wanted); `wanted` None is for information."""

    rows: list[tuple[str, object, object]] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return [what for what, found, wanted in self.rows if wanted is not None and found != wanted]

    def __str__(self) -> str:
        def line(what: str, found: object, wanted: object) -> str:
            mark = "" if wanted is None else "  ✓" if found == wanted else f"  ✗ should be {wanted}"
            return f"  {what:<42} {found!s:>8}{mark}"

        return "\n".join(line(*row) for row in self.rows)


def compare(before: Books, after: Books, wishes: list[Wish], wanted: int) -> Report:
    """What was wanted against what the databases say. Pure."""
    made = {wish.key: after.keys[wish.key] for wish in wishes if wish.key in after.keys}
    new = set(after.orders) - set(before.orders)
    charged = {order for order, row in after.charges.items() if row["state"] == "captured"}
    cents = sum(after.charges[order]["cents"] != after.orders[order]["cents"] for order in charged & after.confirmed)
    lies = sum(
        bool(wish.order_id and wish.order_id != made.get(wish.key))
        or (wish.told == "confirmed" and made.get(wish.key) not in after.confirmed)
        or (wish.told == "refused" and made.get(wish.key) in after.confirmed)
        for wish in wishes
    )
    bought = {
        order: Counter({line["sku"]: line["quantity"] for line in json.loads(after.orders[order]["lines"])})
        for order in after.confirmed
    }
    unequal = [order for order in set(bought) | set(after.reserved) if bought.get(order) != after.reserved.get(order)]
    drift = sum(abs(after.all_goods[sku] - before.all_goods[sku]) for sku in set(after.stock) | set(before.stock))
    return Report(
        [
            ("orders wanted", wanted, None),
            ("orders made", len(set(made.values())), wanted),
            ("orders nobody wanted (duplicates)", len(new - set(made.values())), 0),
            ("  confirmed", len(new & after.confirmed), None),
            ("  declined, or sold out", len(new) - len(new & after.confirmed) - after.unfinished, None),
            ("stuck", after.unfinished, 0),
            ("charged ≠ confirmed", len(charged ^ after.confirmed), 0),
            ("charged another sum", cents, 0),
            ("confirmed without a parcel", len(after.confirmed - set(after.parcels)), 0),
            ("parcels too many", sum(after.parcels.values()) - len(after.confirmed & set(after.parcels)), 0),
            ("confirmed without its number", sum(not after.orders[order]["tracking"] for order in after.confirmed), 0),
            ("stock drift", drift, 0),
            ("reserved ≠ confirmed", len(unequal), 0),
            ("visitors told something else", lies, 0),
            ("events never sent", after.outbox, 0),
        ]
    )


def restock(api: Api, stock: int) -> None:
    """So that orders end at the till and not at an empty shelf: the seed Job's pod once more, with other arguments."""
    jobs, name = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", f"restock-{uuid.uuid4().hex[:6]}"
    pod = asked(api, f"{jobs}/seed")["spec"]["template"]["spec"]
    pod["containers"][0]["command"] = ["python", "-m", "products.seed", str(stock)]
    job = {"metadata": {"name": name}, "spec": {"ttlSecondsAfterFinished": 60, "template": {"spec": pod}}}
    with contextlib.suppress(urllib.error.HTTPError):  # 409: only the answer was lost; else it is not there below
        again(lambda: api.call(jobs, "POST", job), Counter(), random.Random(name))
    end = time.monotonic() + PATIENCE_SECONDS
    while not asked(api, f"{jobs}/{name}")["status"].get("succeeded"):
        if time.monotonic() > end:
            raise SystemExit(f"nobody filled the shelves: kubectl describe job {name} -n {NAMESPACE}")
        time.sleep(0.1)


def run(system: System, orders: int, visitors: int, kills: int, seed: int) -> Report:
    status = system.status()
    api = Api(status)
    ledger, killer = Ledger(api), Killer(status, api, seed, orders, kills)
    restock(api, STOCK + orders)
    before = ledger.settle(time.monotonic() + PATIENCE_SECONDS)
    wishes: list[Wish] = []
    lock = threading.Lock()
    left, due = iter(range(orders)), list(killer.when)
    buyers = [Buyer(status, number, seed) for number in range(visitors)]

    def visit(buyer: Buyer) -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            wishes.append(buyer.buy())

    begin = time.monotonic()
    with ThreadPoolExecutor(visitors, "visitor") as pool:
        running = [pool.submit(visit, buyer) for buyer in buyers]
        while due and not all(future.done() for future in running):
            if len(wishes) >= due[0]:
                due.pop(0)
                killer.kill()
            time.sleep(0.01)
    gone = [f"a visitor gave up: {error}" for future in running if (error := future.exception())]
    bought = time.monotonic()
    after = ledger.settle(bought + PATIENCE_SECONDS)
    report = compare(before, after, wishes, orders)
    failures = sum((buyer.failures for buyer in buyers), Counter())
    report.rows[:0] = [(f"killed: {what}", count, None) for what, count in sorted(killer.done.items())]
    report.rows += [("pages that failed and were asked again", sum(failures.values()), None)]
    report.rows += [("visitors that gave up", len(gone), 0), ("seconds of buying", round(bought - begin, 1), None)]
    report.rows += [("seconds until all was settled", round(time.monotonic() - bought, 1), None)]
    print("\n".join(gone + [f"  {count} × {what}" for what, count in failures.items()]), flush=True)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    System.add_options(parser)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.orders} orders by {options.visitors} visitors, {options.kills} kills, seed {options.seed}")
    system = System(options.name, options.state_dir)
    report = run(system, options.orders, options.visitors, options.kills, options.seed)
    print(report, "every book agrees" if not report.wrong else f"WRONG: {', '.join(report.wrong)}", sep="\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
