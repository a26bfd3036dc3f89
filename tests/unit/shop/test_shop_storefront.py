"""The pages: what a visitor sees when all is well, and when a service behind them is away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from shop_in_process import SHOP, Load

OAR = {"sku": "oar", "name": "Ash <oar>", "description": "", "price_cents": 5900, "art": "oar", "stock": 3}
PARCEL = {"code": "WH1", "state": "on the river", "history": [{"at": "2026-01-01T10:00:00", "what": "label created"}]}
Answer = Callable[[httpx.Request], httpx.Response]


class Services:
    """The services behind the storefront: what each answers, and what it was asked."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.cart: dict[str, int] = {}
        self.bodies: list[tuple[str, bytes]] = []
        self.order = {"id": "order-1", "state": "confirmed", "lines": [], "cents": 5900, "reason": "", "parcel": ""}
        self.status = 201
        self.flaky = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        service = request.url.host
        self.asked[f"{request.method} {service}"] += 1
        if service in self.away:
            raise httpx.ConnectError("refused")
        if self.flaky:
            self.flaky -= 1
            raise httpx.ReadError("reset")
        answer: tuple[int, Any] = getattr(self, f"_{service}")(request)
        return httpx.Response(answer[0], json=answer[1])

    def _products(self, request: httpx.Request) -> tuple[int, Any]:
        sku = request.url.path.removeprefix("/products").strip("/")
        return (200, {"items": [OAR]}) if not sku else (200, OAR) if sku == "oar" else (404, {"detail": "no product"})

    def _cart(self, request: httpx.Request) -> tuple[int, Any]:
        sku = request.url.path.rpartition("/")[2]
        if request.method == "PUT":
            self.cart[sku] = httpx.Response(200, content=request.content).json()["quantity"]
        elif request.method == "DELETE":
            self.cart.pop(sku, None)
        return 200, {"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in self.cart.items()]}

    def _user(self, request: httpx.Request) -> tuple[int, Any]:
        return self.status, {"token": "token", "name": "Ada", "detail": "this address has an account already"}

    def _orders(self, request: httpx.Request) -> tuple[int, Any]:
        if request.headers.get("Authorization") != "Bearer token":
            return 401, {"detail": "the signature is wrong"}
        if request.method == "GET":
            return 200, self.order if request.url.path != "/orders" else {"items": []}
        self.bodies.append((request.headers["Idempotency-Key"], request.content))
        return self.status, self.order

    def _tracking(self, request: httpx.Request) -> tuple[int, Any]:
        return 200, PARCEL


@pytest.fixture
def services(load: Load, monkeypatch: pytest.MonkeyPatch) -> Services:
    storefront, services = load("storefront.app"), Services()
    backend = storefront.Backend(httpx.MockTransport(services))
    monkeypatch.setattr(storefront, "backend", backend)
    return services


@pytest.fixture
def visitor(services: Services, load: Load) -> FlaskClient:
    client: FlaskClient = load("storefront.app").app.test_client()
    return client


def log_in(visitor: FlaskClient) -> None:
    form = {"email": "ada@example.com", "password": "correct horse", "name": "Ada", "action": "register"}
    assert visitor.post("/login", data=form).status_code == 303


def key_of(visitor: FlaskClient) -> str:
    found = re.search(r'name="key" value="([^"]+)"', visitor.get("/cart").text)
    assert found
    return found[1]


def cart_of(visitor: FlaskClient) -> str:
    with visitor.session_transaction() as session:
        return str(session["cart"])


def test_names_are_text_and_never_markup(visitor: FlaskClient) -> None:
    assert "Ash &lt;oar&gt;" in visitor.get("/").text
    assert "Ash &lt;oar&gt;" in visitor.get("/products/oar").text


def test_a_terminal_gets_text(visitor: FlaskClient) -> None:
    page = visitor.get("/", headers={"User-Agent": "curl/7.88.1"}).text
    assert "oar" in page
    assert "<html" not in page


def test_no_page_needs_javascript() -> None:
    for template in (SHOP / "storefront" / "templates").glob("*.html"):
        assert not re.search(r"<script|\son\w+=|javascript:", template.read_text(), re.IGNORECASE), template.name


@pytest.mark.parametrize(
    ("quantity", "kept"), [("2", 2), ("0", None), ("-3", None), ("1000", 99), ("many", 1), ("", 1)]
)
def test_quantities(visitor: FlaskClient, services: Services, quantity: str, kept: int | None) -> None:
    visitor.post("/cart/oar", data={"quantity": 5})
    assert visitor.post("/cart/oar", data={"quantity": quantity}).status_code == 303
    assert services.cart.get("oar") == kept


def test_remove_wins_over_the_quantity_beside_it(visitor: FlaskClient, services: Services) -> None:
    visitor.post("/cart/oar", data={"quantity": 5})
    visitor.post("/cart/oar", data={"quantity": 5, "remove": "1"})
    assert services.cart == {}


def test_buying(visitor: FlaskClient, services: Services) -> None:
    log_in(visitor)
    visitor.post("/cart/oar", data={"quantity": 2})
    before = cart_of(visitor)
    answer = visitor.post("/checkout", data={"key": key_of(visitor), "method": "card"})
    assert answer.location == "/orders/order-1"
    page = visitor.get("/orders/order-1").text
    assert "Thank you, Ada" in page
    assert 'id="parcel-state">on the river' in page
    assert cart_of(visitor) != before  # what clears the bought one cannot touch what is put aside next


def test_a_double_click_is_one_order(visitor: FlaskClient, services: Services) -> None:
    log_in(visitor)
    visitor.post("/cart/oar", data={"quantity": 2})
    form = {"key": key_of(visitor), "method": "card"}
    cookie = visitor.get_cookie("session")
    assert cookie is not None
    visitor.post("/checkout", data=form)
    visitor.set_cookie("session", cookie.value)  # the second click left before the first answer came
    visitor.post("/checkout", data=form)
    assert len(services.bodies) == 2
    assert services.bodies[0] == services.bodies[1]
    services.cart.clear()
    assert visitor.post("/checkout", data=form).location == "/orders"


@pytest.mark.parametrize("status", [402, 409, 422])
def test_a_refused_order_keeps_the_cart_and_says_why(visitor: FlaskClient, services: Services, status: int) -> None:
    log_in(visitor)
    visitor.post("/cart/oar", data={"quantity": 2})
    form, before = {"key": key_of(visitor), "method": "declined"}, cart_of(visitor)
    services.status, services.order = status, {"reason": "the payment was declined"}
    answer = visitor.post("/checkout", data=form, follow_redirects=True)
    assert "The order was not placed: the payment was declined." in answer.text
    assert cart_of(visitor) == before
    assert key_of(visitor) != form["key"]  # another attempt is another order


def test_an_order_that_waits_is_followed(visitor: FlaskClient, services: Services) -> None:
    log_in(visitor)
    visitor.post("/cart/oar", data={"quantity": 2})
    services.status, services.order = 202, {**services.order, "state": "pending"}
    answer = visitor.post("/checkout", data={"key": key_of(visitor)}, follow_redirects=True)
    assert "will be finished by itself" in answer.text
    assert 'http-equiv="refresh"' in answer.text


def test_who_is_not_logged_in_comes_back_to_the_cart(visitor: FlaskClient) -> None:
    assert visitor.post("/checkout").location == "/login?next=/cart"
    assert visitor.get("/orders").location == "/login?next=/orders"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "evil"])
def test_logging_in_leads_nowhere_else(visitor: FlaskClient, target: str) -> None:
    form = {"email": "a@b", "password": "correct horse", "name": "Ada", "next": target}
    assert visitor.post("/login", data=form).location == "/"


def test_a_wrong_password_is_said(visitor: FlaskClient, services: Services) -> None:
    services.status = 401
    assert "this address has an account already" in visitor.post("/login", data={"email": "a"}).text


def test_tracking_away_hides_its_panel(visitor: FlaskClient, services: Services) -> None:
    log_in(visitor)
    services.away = {"tracking"}
    page = visitor.get("/orders/order-1")
    assert page.status_code == 200
    assert "The parcel is being prepared" in page.text


@pytest.mark.parametrize(
    ("service", "path"), [("products", "/"), ("cart", "/cart"), ("orders", "/orders"), ("tracking", "/track/WH1")]
)
def test_a_service_away_is_told_and_tried_again(
    visitor: FlaskClient, services: Services, service: str, path: str
) -> None:
    services.away = {service}
    page = visitor.get(path)
    assert page.status_code == 503
    assert "One moment" in page.text
    assert 'http-equiv="refresh"' in page.text
    assert services.asked[f"GET {service}"] == 3


def test_only_what_may_be_repeated_is_repeated(visitor: FlaskClient, services: Services) -> None:
    services.flaky = 1
    assert visitor.get("/").status_code == 200
    services.flaky = 1
    assert visitor.post("/login", data={"action": "register", "email": "a"}).status_code == 503
    assert services.asked["POST user"] == 1
    services.away = {"user"}  # nothing was sent: that may be repeated
    assert visitor.post("/login", data={"action": "register", "email": "a"}).status_code == 503
    assert services.asked["POST user"] == 4


def test_what_is_not_there(visitor: FlaskClient) -> None:
    for path in ("/products/none", "/nowhere"):
        page = visitor.get(path)
        assert page.status_code == 404
        assert "There is nothing under this address" in page.text
