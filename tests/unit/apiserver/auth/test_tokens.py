from __future__ import annotations

import asyncio
import base64
from typing import Any

import jwt
import pytest
from api_core import Server, make_server

from wherry.aio.virtual import run_virtual

ACCOUNTS = "/api/v1/namespaces/shop/serviceaccounts"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
DEFAULT = "https://kubernetes.default.svc.cluster.local"


async def with_account() -> Server:
    server = await make_server()
    assert (await server.ask("POST", ACCOUNTS, {"metadata": {"name": "cart"}})).status == 201
    role = {"metadata": {"name": "who"}, "rules": [{"verbs": ["create"], "apiGroups": ["*"], "resources": ["*"]}]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await server.ask("POST", f"{rbac}/clusterroles", role)
    bound = {
        "metadata": {"name": "who"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "who"},
        "subjects": [{"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    assert (await server.ask("POST", f"{rbac}/clusterrolebindings", bound)).status == 201
    return server


async def token_of(server: Server, **spec: Any) -> str:
    said = await server.ask("POST", f"{ACCOUNTS}/cart/token", {"spec": spec})
    assert said.status == 201, said.body
    token: str = said.body["status"]["token"]
    return token


async def test_a_token_is_who_it_says() -> None:
    server = await with_account()
    said = await server.ask("POST", WHO, {}, token=await token_of(server))
    info = said.body["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:shop:cart"
    assert info["groups"] == ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"]
    assert info["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_a_token_ends() -> None:
    async def main() -> None:
        server = await with_account()
        token = await token_of(server, expirationSeconds=600)
        await asyncio.sleep(599)
        assert (await server.ask("POST", WHO, {}, token=token)).status == 201
        await asyncio.sleep(2)
        assert (await server.ask("POST", WHO, {}, token=token)).status == 401

    run_virtual(main())


async def test_a_token_ends_with_its_account() -> None:
    server = await with_account()
    token = await token_of(server)
    await server.ask("DELETE", f"{ACCOUNTS}/cart")
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401
    await server.ask("POST", ACCOUNTS, {"metadata": {"name": "cart"}})
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401, "a namesake is somebody else"


def test_a_pod_s_token_ends_a_minute_after_the_pod() -> None:
    async def main() -> None:
        server = await with_account()
        pod = {
            "metadata": {"name": "p", "finalizers": ["x/y"]},
            "spec": {"serviceAccountName": "cart", "containers": [{"name": "c", "image": "i"}]},
        }
        assert (await server.ask("POST", "/api/v1/namespaces/shop/pods", pod)).status == 201
        token = await token_of(server, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["kubernetes.io"]["pod"]["name"] == "p"
        await server.ask("DELETE", "/api/v1/namespaces/shop/pods/p")
        assert (await server.ask("POST", WHO, {}, token=token)).status == 201
        await asyncio.sleep(100)
        assert (await server.ask("POST", WHO, {}, token=token)).status == 401

    run_virtual(main())


async def test_audiences() -> None:
    server = await with_account()
    token = await token_of(server, audiences=["vault"])
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    said = await server.ask("POST", path, {"spec": {"token": token, "audiences": ["vault", "x"]}})
    assert said.body["status"]["authenticated"] is True
    assert said.body["status"]["audiences"] == ["vault"]
    said = await server.ask("POST", path, {"spec": {"token": token}})
    assert said.body["status"]["error"] == (
        f'[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["{DEFAULT}"]]'
    )


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_what_we_did_not_sign_is_nobody(token: str) -> None:
    server = await make_server()
    said = await server.ask("GET", "/api/v1/pods", token=token)
    assert (said.status, said.message) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        ({"expirationSeconds": 5}, 422, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "nope"}}, 404, 'pods "nope" not found'),
        ({"boundObjectRef": {"kind": "X", "apiVersion": "v1"}}, 400, "cannot bind token to object of type /v1, Kind=X"),
    ],
)
async def test_requests_that_are_refused(spec: dict[str, Any], status: int, message: str) -> None:
    server = await with_account()
    said = await server.ask("POST", f"{ACCOUNTS}/cart/token", {"spec": spec})
    assert said.status == status
    assert message in said.message


async def test_others_can_verify_with_the_published_keys() -> None:
    server = await with_account()
    token = await token_of(server)
    said = await server.ask("GET", "/openid/v1/jwks")
    assert said.content_type == "application/jwk-set+json"
    jwks = said.body
    provider = (await server.ask("GET", "/.well-known/openid-configuration")).body
    assert (provider["issuer"], provider["jwks_uri"]) == (DEFAULT, "https://127.0.0.1:6443/openid/v1/jwks")
    assert provider["id_token_signing_alg_values_supported"] == [jwks["keys"][0]["alg"]]
    key = jwt.PyJWK.from_dict(jwks["keys"][0])
    assert jwt.get_unverified_header(token)["kid"] == jwks["keys"][0]["kid"]
    claims = jwt.decode(
        token, key, audience=DEFAULT, options={"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    )
    assert claims["sub"] == "system:serviceaccount:shop:cart"


async def test_tokens_of_secrets_live_as_long_as_the_secret() -> None:
    server = await with_account()
    secret = {
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "cart"}},
        "type": "kubernetes.io/service-account-token",
    }
    path = "/api/v1/namespaces/shop/secrets"
    stored = (await server.ask("POST", path, secret)).body
    account = (await server.ask("GET", f"{ACCOUNTS}/cart")).body
    token = server.app.tokens.issue_for_secret(account, stored)
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401, "the Secret does not hold it"
    holding = {**stored, "data": {"token": base64.b64encode(token.encode()).decode()}}
    await server.ask("PUT", f"{path}/s", holding)
    assert (await server.ask("POST", WHO, {}, token=token)).status == 201
    await server.ask("PUT", f"{path}/s", {**stored, "metadata": {**stored["metadata"], "resourceVersion": ""}})
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401, "whoever empties it ends the token"
    await server.ask("PUT", f"{path}/s", {**holding, "metadata": {**stored["metadata"], "resourceVersion": ""}})
    assert (await server.ask("POST", WHO, {}, token=token)).status == 201
    await server.ask("DELETE", f"{path}/s")
    assert (await server.ask("POST", WHO, {}, token=token)).status == 401


async def test_a_request_may_name_its_account_and_no_other() -> None:
    server = await with_account()
    body = {"metadata": {"name": "cart", "namespace": "shop"}, "spec": {}}
    assert (await server.ask("POST", f"{ACCOUNTS}/cart/token", body)).status == 201
    said = await server.ask("POST", f"{ACCOUNTS}/cart/token", {"metadata": {"name": "other"}, "spec": {}})
    assert said.message.endswith(
        'metadata.name: Invalid value: "other": must match the service account name if specified'
    )


BEARER = "base64url.bearer.authorization.k8s.io."


async def test_a_browser_sends_its_token_among_the_subprotocols() -> None:
    server = await with_account()
    token = await token_of(server)
    encoded = BEARER + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")

    async def status(protocols: str, **more: str) -> int:
        headers = {"Upgrade": "websocket", **more, "Sec_WebSocket_Protocol": protocols}
        return (await server.ask("POST", WHO, {}, token="", **headers)).status

    assert await status(f"v5.channel.k8s.io, {encoded}") == 201
    assert await status(f"{encoded}, v5.channel.k8s.io", Upgrade="h2c") == 401, "no WebSocket"
    for wrong in (encoded, f"{BEARER}%, a", f"{encoded}, {encoded}, a", f"{encoded}x, a", "a", ""):
        assert await status(wrong) == 401, wrong
    request = server.request("GET", WHO, None, token="", content_type="", upgrade="websocket")
    request.headers = {**request.headers, "sec-websocket-protocol": f"{encoded}, a, b"}
    assert server.app.core.authenticator.authenticate(request).name == "system:serviceaccount:shop:cart"
    assert request.headers["sec-websocket-protocol"] == "a, b", "nobody behind sees it"
