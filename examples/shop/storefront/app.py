"""Pages of the shop, in Flask: browse, fill the cart, log in, buy, follow the parcel."""

from __future__ import annotations

import time
import uuid
from typing import Any

from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as Redirect

from shopkit import logs
from shopkit.settings import POD, SERVICE, VERSION, setting
from shopkit.wsgi import serve
from storefront.backend import CHECKOUT_SECONDS, Backend, Down

app = Flask(__name__)
app.secret_key = setting("JWT_KEY")
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True)
backend = Backend()
log = logs.configure()
Page = str | Redirect | tuple[str, int]


@app.template_filter("money")
def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}\N{NO-BREAK SPACE}€"


@app.before_request
def begin() -> None:
    g.begin = time.perf_counter()
    session.setdefault("cart", str(uuid.uuid4()))


@app.after_request
def note(answer: Response) -> Response:
    if request.path not in ("/livez", "/readyz") and not request.path.startswith("/static"):
        row = {"status": answer.status_code, "ms": round((time.perf_counter() - g.begin) * 1000, 1)}
        log.info("%s %s", request.method, request.path, extra={"data": row})
    return answer


@app.context_processor
def shared() -> dict[str, Any]:
    return {"version": VERSION, "pod": POD, "name": session.get("name"), "count": session.get("count")}


@app.errorhandler(Down)
def down(error: Down) -> tuple[str, int]:
    log.warning("page without its service", extra={"data": {"why": str(error)}})
    return render_template("message.html", title="One moment", text="A part of the shop is being restarted."), 503


@app.errorhandler(404)
def missing(_: Exception) -> tuple[str, int]:
    return render_template("message.html", title="Not here", text="There is nothing under this address."), 404


@app.get("/")
def home() -> Page:
    query = request.args.get("q", "")
    products = backend.products(query)
    if "curl" in request.headers.get("User-Agent", "").lower():
        rows = [f"{item['sku']:<10} {money(item['price_cents']):>9}  {item['name']}" for item in products]
        return "\n".join(["The Wherry shop", "", *rows, ""])
    return render_template("home.html", products=products, query=query)


@app.get("/products/<sku>")
def product(sku: str) -> Page:
    found = backend.product(sku) or abort(404)
    return render_template("product.html", product=found)


@app.get("/cart")
def cart() -> Page:
    lines = backend.cart(session["cart"])
    total = sum(line["total"] for line in lines)
    session["count"] = sum(line["quantity"] for line in lines)
    return render_template(
        "cart.html", lines=lines, total=total, key=str(uuid.uuid4()), problem=request.args.get("problem")
    )


@app.post("/cart/<sku>")
def put(sku: str) -> Page:
    """Quantity 0 takes the product out, as the button Remove does."""
    quantity = 0 if "remove" in request.form else max(0, min(99, request.form.get("quantity", 1, type=int)))
    path = f"/carts/{session['cart']}/items/{sku}"
    if quantity:
        backend.call("cart", "PUT", path, json={"quantity": quantity})
    else:
        backend.call("cart", "DELETE", path)
    return redirect(url_for("cart"), 303)


@app.route("/login", methods=["GET", "POST"])
def login() -> Page:
    if request.method == "GET":
        return render_template("login.html", next=request.args.get("next", "/"))
    form = {key: request.form.get(key, "") for key in ("email", "password", "name")}
    register = request.form.get("action") == "register"
    if register:
        answer = backend.call("user", "POST", "/users", json=form)
    else:
        answer = backend.call("user", "POST", "/sessions", json={k: form[k] for k in ("email", "password")})
    if answer.status_code != 201:
        detail = answer.json().get("detail")
        problem = detail if isinstance(detail, str) else "an address, a password of 8 characters and a name are needed"
        return render_template("login.html", next=request.form.get("next", "/"), problem=problem), answer.status_code
    session.update(token=answer.json()["token"], name=answer.json()["name"])
    target = request.form.get("next", "/")
    return redirect(target if target.startswith("/") and not target.startswith("//") else "/", 303)


@app.post("/logout")
def logout() -> Page:
    session.clear()
    return redirect("/", 303)


@app.post("/checkout")
def checkout() -> Page:
    """The form's hidden key makes a double click one order."""
    if "token" not in session:
        return redirect(url_for("login", next="/cart"), 303)
    lines = [{"sku": line["sku"], "quantity": line["quantity"]} for line in backend.cart(session["cart"])]
    if not lines:
        return redirect(url_for("orders"), 303)  # the second click of two: the first one's order is there
    body = {"cart": session["cart"], "lines": lines, "method": request.form.get("method", "card")}
    headers = {**_bearer(), "Idempotency-Key": request.form.get("key") or str(uuid.uuid4())}
    answer = backend.call("orders", "POST", "/orders", json=body, headers=headers, timeout=CHECKOUT_SECONDS)
    if answer.status_code == 401:
        return redirect(url_for("login", next="/cart"), 303)
    if answer.status_code not in (201, 202):
        found = answer.json()
        return redirect(url_for("cart", problem=found.get("reason") or found.get("detail") or "refused"), 303)
    # A cart is bought once. The next one is another, so that the event that clears this one, which may be late when the
    # broker is away, cannot take what is put aside afterwards.
    session.update(cart=str(uuid.uuid4()), count=0)
    return redirect(url_for("order", order_id=answer.json()["id"]), 303)


@app.get("/orders")
def orders() -> Page:
    answer = backend.call("orders", "GET", "/orders", headers=_bearer())
    if answer.status_code == 401:
        return redirect(url_for("login", next="/orders"), 303)
    return render_template("orders.html", orders=answer.json()["items"])


@app.get("/orders/<order_id>")
def order(order_id: str) -> Page:
    answer = backend.call("orders", "GET", f"/orders/{order_id}", headers=_bearer())
    if answer.status_code == 401:
        return redirect(url_for("login", next=f"/orders/{order_id}"), 303)
    if answer.status_code == 404:
        abort(404)
    return render_template("order.html", order=answer.json(), parcel=backend.parcel(order_id))


@app.get("/track/<code>")
def track(code: str) -> Page:
    answer = backend.call("tracking", "GET", f"/track/{code}")
    if answer.status_code == 404:
        abort(404)
    return render_template("track.html", parcel=answer.json())


@app.get("/livez")
@app.get("/readyz")
def health() -> dict[str, str]:
    return {"status": "ok"}  # pages say themselves what is missing


@app.get("/info")
def info() -> dict[str, str]:
    return {"service": SERVICE, "version": VERSION, "pod": POD}


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {session.get('token', '')}"}


if __name__ == "__main__":
    log.info("started")
    serve(app, threads=16)
