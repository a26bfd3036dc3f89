from __future__ import annotations

import pytest
from api_core import JANE, Server, make_server

from wherry.api.errors import StatusError
from wherry.apiserver.auth.attributes import Attributes, rule_allows
from wherry.apiserver.auth.user import User, service_account_user

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def binding(role: str, kind: str, name: str, role_kind: str = "Role", **subject: str) -> dict[str, object]:
    return {
        "metadata": {"name": f"{role}-{name}".replace(":", "-")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"kind": kind, "name": name, **subject}],
    }


async def with_role(server: Server) -> None:
    rules = [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]
    said = await server.ask("POST", f"{RBAC}/namespaces/shop/roles", {"metadata": {"name": "reader"}, "rules": rules})
    assert said.status == 201, said.body


async def test_nobody_may_anything_until_bound() -> None:
    server = await make_server()
    await with_role(server)
    said = await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")
    assert said.status == 403
    assert said.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "shop"'
    )
    await server.ask("POST", f"{RBAC}/namespaces/shop/rolebindings", binding("reader", "User", "jane"))
    assert (await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")).status == 200
    said = await server.ask("GET", "/api/v1/pods", token="jane")
    assert said.message.endswith('cannot list resource "pods" in API group "" at the cluster scope')
    said = await server.ask("DELETE", "/api/v1/namespaces/shop/pods/p", token="jane")
    assert said.message.startswith('pods "p" is forbidden: User "jane" cannot delete resource "pods"')
    said = await server.ask("GET", "/api/v1/namespaces/shop/pods/p/log", token="jane")
    assert said.status == 404  # may, and finds none


async def test_taking_the_binding_away_works_at_once() -> None:
    server = await make_server()
    await with_role(server)
    await server.ask("POST", f"{RBAC}/namespaces/shop/rolebindings", binding("reader", "Group", "devs"))
    assert (await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")).status == 200
    await server.ask("DELETE", f"{RBAC}/namespaces/shop/rolebindings/reader-devs")
    assert (await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")).status == 403


async def test_service_accounts_and_aggregated_roles() -> None:
    server = await make_server()
    part = {
        "metadata": {"name": "part", "labels": {"to": "whole"}},
        "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["secrets"]}],
    }
    whole = {
        "metadata": {"name": "whole"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "whole"}}]},
    }
    for role in (part, whole):
        assert (await server.ask("POST", f"{RBAC}/clusterroles", role)).status == 201
    bound = binding("whole", "ServiceAccount", "cart", "ClusterRole", namespace="shop")
    assert (await server.ask("POST", f"{RBAC}/clusterrolebindings", bound)).status == 201
    authorizer = server.app.core.authorizer
    cart = service_account_user("shop", "cart")
    decision = authorizer.decide(cart, Attributes("get", "", "secrets", namespace="other", name="x"))
    assert decision.allowed
    assert (
        decision.reason
        == 'RBAC: allowed by ClusterRoleBinding "whole-cart" of ClusterRole "whole" to ServiceAccount "cart/shop"'
    )
    assert not authorizer.decide(service_account_user("shop", "user"), Attributes("get", "", "secrets")).allowed


async def test_anonymous_may_what_unauthenticated_may() -> None:
    server = await make_server()
    said = await server.ask("GET", "/healthz", token="")
    assert said.status == 403
    assert said.message == 'forbidden: User "system:anonymous" cannot get path "/healthz"'
    role = {"metadata": {"name": "public"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/version*"]}]}
    await server.ask("POST", f"{RBAC}/clusterroles", role)
    bound = binding("public", "Group", "system:unauthenticated", "ClusterRole")
    await server.ask("POST", f"{RBAC}/clusterrolebindings", bound)
    assert (await server.ask("GET", "/healthz", token="")).status == 200
    assert (await server.ask("GET", "/version/", token="")).status == 200
    for path in ("/metrics", "/", "/api", "/versions", "//version"):
        assert (await server.ask("GET", path, token="")).status == 401


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, Attributes("x", "g", "r", "s"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, Attributes("get", "", "pods", "log"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, Attributes("get", "", "pods", "log"), True),
        (
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            Attributes("get", "", "pods", name="b"),
            False,
        ),
        (
            {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            Attributes("list", "", "pods"),
            False,
        ),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes("get", path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, Attributes("get", path="/api/v1"), False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, Attributes("get", "", "pods"), False),
    ],
)
def test_rules(rule: dict[str, list[str]], attributes: Attributes, allowed: bool) -> None:
    assert rule_allows(rule, attributes) is allowed


async def test_access_reviews() -> None:
    server = await make_server()
    await with_role(server)
    await server.ask("POST", f"{RBAC}/namespaces/shop/rolebindings", binding("reader", "User", "jane"))
    spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    said = await server.ask("POST", path, {"spec": {**spec, "user": "jane"}})
    assert said.status == 201
    assert said.body["status"]["allowed"] is True
    said = await server.ask("POST", path, {"spec": {**spec, "user": "joe"}})
    assert said.body["status"] == {"allowed": False}
    said = await server.ask("POST", path, {"spec": {"user": "joe"}})
    assert said.status == 422


async def test_impersonation_needs_permission() -> None:
    server = await make_server()
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    said = await server.ask("POST", path, {}, Impersonate_User="eve", Impersonate_Group="system:masters")
    assert said.body["status"]["userInfo"] == {"username": "eve", "groups": ["system:masters", "system:authenticated"]}
    said = await server.ask("GET", "/api/v1/pods", token="jane", Impersonate_User="eve")
    assert said.status == 403
    assert (
        said.message
        == 'users "eve" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope'
    )
    said = await server.ask("GET", "/api/v1/pods", Impersonate_Group="x")
    assert said.status == 400


def test_masters_need_no_rules_and_others_get_403() -> None:
    from wherry.apiserver.auth.rbac import Authorizer
    from wherry.storage.memory import MemoryStorage

    authorizer = Authorizer(MemoryStorage())
    authorizer.check(User("x", ("system:masters",)), Attributes("delete", "", "nodes"))
    with pytest.raises(StatusError):
        authorizer.check(JANE, Attributes("get", "", "nodes"))
