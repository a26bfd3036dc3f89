"""The shop as a user meets it: it comes up, sells in a real browser, and is killed, updated and scaled while it sells."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import browser
import pytest
from browser import Browser
from kubectl import needs_kubectl, newest
from shop_system import SECONDS, ShopSystem, module
from wherry_system import WherrySystem, until

pytestmark = pytest.mark.timeout(1.5 * SECONDS)
Measured = Callable[[str, float], None]
PAGES = ["/", "/products/oar", "/products/map"]
RSS_BYTES = 500 * 2**20  # of all services together; examples/shop promises it


@pytest.fixture(scope="module")
def shop(system: WherrySystem) -> Iterator[ShopSystem]:
    begin = time.monotonic()
    shop = ShopSystem(system)
    shop.seconds = time.monotonic() - begin
    yield shop
    client = module("client")
    for kind in ("deployments", "statefulsets"):
        for each in shop.api().call(f"/apis/apps/v1/namespaces/{client.NAMESPACE}/{kind}")["items"]:
            name = each["metadata"]["name"]
            shop.api().call(f"/apis/apps/v1/namespaces/{client.NAMESPACE}/{kind}/{name}", "DELETE")


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_all_of_it_fits(shop: ShopSystem, measured: Measured) -> None:
    processes = module("client").processes(shop.system.status())
    services = Counter(service for _, service in processes.values())
    one = ("products", "cart", "user", "orders", "payments", "tracking", "nats")
    assert services == {**dict.fromkeys(one, 1), "storefront": 2}, "a start is no load: the autoscaler adds no cart"
    assert sum(map(rss, processes)) < RSS_BYTES
    measured("the shop ready, images built", shop.seconds)
    begin = time.monotonic()
    text = shop.up()
    measured("the shop up again, nothing to do", time.monotonic() - begin)
    assert not re.search(r"(configured|created|replaced)", text), text


def test_what_tells_users_what_is_wrong(shop: ShopSystem) -> None:
    visitor = shop.visitor()
    with pytest.raises(OSError, match="404"):
        visitor.get("/products/none")
    assert visitor.get("/info").startswith('{"')


def test_no_order_is_lost_or_doubled(shop: ShopSystem) -> None:
    """Eight kills, each service and the broker once; `verify.py` fails unless all databases agree."""
    text = shop.run("verify.py", *shop.where, "--orders", "60", "--kills", "8", "--seed", "1")
    assert "every book agrees" in text
    assert re.search(r"killed: nats \w+ +1", text), text


FAULTS = [
    ("dns", "*.svc.cluster.local", "--share", "0.3"),
    ("api", "--fail", "500", "--share", "0.3", "--user", "system:node:*"),
    ("api", "--delay", "300ms", "--verb", "create,update,patch,delete"),
    ("pods", "-n", "shop", "--every", "5s"),
    ("processes", "netd", "node-agent", "control-plane", "--every", "7s"),
]


def test_no_order_is_lost_while_things_fail_on_purpose(shop: ShopSystem) -> None:
    """Names do not resolve, the API fails and dawdles, pods and our own processes are killed: all of it at once."""
    with ExitStack() as stack:
        for number, (kind, *rest) in enumerate(FAULTS):
            stack.enter_context(shop.chaos(kind, *rest, "--for", "10m", "--seed", str(number)))
        text = shop.run("verify.py", *shop.where, "--orders", "40", "--kills", "0", "--seed", "2")
    assert "every book agrees" in text
    assert shop.run("-m", "wherry", "chaos", "list", *shop.where) == ""
    until(lambda: shop.system.status()["state"] == "running", "whole again", 60)


SCARCE = [
    ("disk", "storage", "--share", "0.2", "--for", "10m"),
    ("pressure", "memory", "--available", "40Mi", "--for", "25s"),
    ("node", "NODE", "--for", "15s"),
    ("network", "-n", "shop", "--to", "service/payments", "--delay", "30ms", "--loss", "3%", "--for", "10m"),
]


def test_no_order_is_lost_while_everything_is_scarce(shop: ShopSystem) -> None:
    """The storage's disk is full now and then, pods are evicted, the node and the API lose one another, packets are lost: all
    of it at once, but for packets in tier `proc`, where there are none to lose."""
    node = next(one["metadata"]["name"] for one in shop.api().call("/api/v1/nodes")["items"])
    before = {one["metadata"]["uid"] for one in shop.evicted()}
    with ExitStack() as stack:
        for number, (kind, *rest) in enumerate(SCARCE):
            if kind != "network" or shop.system.tier.name != "proc":
                told = [node if each == "NODE" else each for each in rest]
                stack.enter_context(shop.chaos(kind, *told, "--seed", str(number)))
        text = shop.run("verify.py", *shop.where, "--orders", "24", "--kills", "0", "--seed", "3")
        new = [one for one in shop.evicted() if one["metadata"]["uid"] not in before]
    assert "every book agrees" in text
    assert new, "somebody had to go"
    assert all(one["status"]["message"].startswith("The node was low on resource: memory. ") for one in new)
    for one in new:
        shop.api().call(f"/api/v1/namespaces/shop/pods/{one['metadata']['name']}", "DELETE")
    assert shop.run("-m", "wherry", "chaos", "list", *shop.where) == ""


def test_a_new_version_drops_no_request_and_neither_does_the_old(shop: ShopSystem) -> None:
    update = shop.under_load(PAGES, lambda: print(shop.up("-p", "v2")))
    assert (update.failed, update.problems) == (0, {})
    assert len(update.seconds) > 100
    until(lambda: "storefront v2" in shop.visitor().get("/"), "Services have forgotten the old pods")
    back = shop.under_load(PAGES, lambda: print(shop.up()))
    assert (back.failed, back.problems) == (0, {})
    until(lambda: "storefront v1" in shop.visitor().get("/"), "the old version again")


@needs_kubectl
def test_undo_drops_no_request(shop: ShopSystem) -> None:
    kubectl = newest(shop.system).in_namespace("shop")

    def undo() -> None:
        kubectl("rollout", "restart", "deployment/storefront")
        kubectl("rollout", "status", "deployment/storefront", "--timeout=120s", timeout=130)
        kubectl("rollout", "undo", "deployment/storefront")
        kubectl("rollout", "status", "deployment/storefront", "--timeout=120s", timeout=130)

        def settled() -> bool:
            return len(shop.api().pods("storefront")) == 2

        until(settled, "the old pods are gone", 60)

    result = shop.under_load(PAGES, undo)
    assert (result.failed, result.problems) == (0, {})


def test_the_cart_grows_under_load_and_shrinks_again(shop: ShopSystem, measured: Measured) -> None:
    visitor, api = shop.visitor(), shop.api()
    visitor.post("/cart/rope", quantity=3)
    until(lambda: api.ready("cart") == 1, "one cart, whatever the tests before asked of it", 90)
    begin = time.monotonic()
    result = shop.under_load(["/cart"], lambda: until(lambda: api.ready("cart") > 1, "more carts", 90), visitor.cookie)
    measured("a second cart ready under load", time.monotonic() - begin)
    assert result.problems == {}
    begin = time.monotonic()
    until(lambda: api.ready("cart") == 1, "one cart", 90)
    measured("one cart again without load", time.monotonic() - begin)
    assert "Twenty metres of rope" in visitor.get("/cart")


def test_a_developer_changes_one_service(shop: ShopSystem) -> None:
    """What runs in a Job cannot be changed: the new version is run as another."""
    shop.edit("products/seed.py", "never drifts", "has never drifted")
    text = shop.up()
    changed = re.findall(r"✓ (\S+/\S+) +(configured|replaced)", text)
    assert changed == [("deployment.apps/products", "configured"), ("job.batch/seed", "replaced")], text
    until(lambda: "has never drifted" in shop.visitor().get("/products/anchor"), "the new text")


needs_browser = pytest.mark.skipif(bool(browser.unavailable()), reason=browser.unavailable())


@needs_browser
@pytest.mark.parametrize("screen", ["light", "dark phone"])
def test_buying_in_a_browser_without_javascript(shop: ShopSystem, screen: str, tmp_path: Path) -> None:
    with Browser(dark="dark" in screen, phone="phone" in screen) as visitor:
        visitor.open("data:text/html,<script>document.title='on'</script><noscript><p>off</p></noscript>")
        assert (visitor.title, visitor.text("p")) == ("", "off")

        visitor.open(shop.url)
        assert len(visitor.texts("main li a")) == 8
        visitor.screenshot(tmp_path / "home.png")
        visitor.fill("[type=search]", "lantern")
        visitor.click(".search button")
        visitor.wait_for(lambda: visitor.texts("main li strong") == ["Deck lantern"], "what was searched for")
        visitor.click("main li a")
        visitor.fill("#quantity", "2")
        visitor.click("main form button")
        assert visitor.text("#buy") == "Buy for 84.00 €"
        visitor.screenshot(tmp_path / "cart.png")

        visitor.click("#buy")  # who buys must be known first, and comes back to the cart
        visitor.fill("[name=email]", f"{time.time()}@example.com")
        visitor.fill("[name=password]", "correct horse")
        visitor.fill("[name=name]", "Ada")
        visitor.click("[value=register]")
        visitor.click("#buy")
        visitor.wait_for(lambda: visitor.text("h1") == "Thank you, Ada", "the order")
        assert visitor.texts(".count") == []
        until(lambda: visitor.texts("#parcel-state") == ["delivered"], "the parcel", 60)
        shown = visitor.texts(".steps li")
        assert [step for step, text in zip(STEPS, shown, strict=True) if text.startswith(step)] == list(STEPS)
        visitor.screenshot(tmp_path / "order.png")
        visitor.click("nav [href='/orders']")
        visitor.wait_for(lambda: visitor.texts(".tag") == ["delivered"], "the list of orders")
        if "phone" in screen:
            assert visitor.width() <= 390  # nothing has to be scrolled sideways


STEPS = ("label created", "handed to the carrier", "on the river", "out for delivery", "delivered")


@needs_browser
def test_buying_with_the_keyboard_alone(shop: ShopSystem) -> None:
    tab, enter = "\ue004", "\ue007"
    with Browser() as visitor:
        visitor.open(f"{shop.url}/products/map")
        visitor.press(tab + enter)  # the first stop leads past the navigation
        visitor.wait_for(lambda: visitor.url.endswith("#main"), "the content")
        for _ in range(10):
            visitor.press(tab)
            if visitor.focused() == "Put into the cart":
                break
        visitor.press(enter)
        visitor.wait_for(lambda: visitor.texts(".count") == ["1"], "a map in the cart")
