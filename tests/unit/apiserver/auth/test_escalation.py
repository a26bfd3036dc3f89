from __future__ import annotations

from typing import Any

from api_core import Server, make_server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES, BINDINGS = f"{RBAC}/namespaces/shop/roles", f"{RBAC}/namespaces/shop/rolebindings"
READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(role: str, user: str, kind: str = "Role") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }


async def server_with_jane(*verbs: str) -> Server:
    """jane may write roles and bindings with these verbs, and read pods."""
    server = await make_server()
    rule = {"verbs": list(verbs), "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"]}
    assert (await server.ask("POST", ROLES, role("manager", rule, READ_PODS))).status == 201
    assert (await server.ask("POST", BINDINGS, binding("manager", "jane"))).status == 201
    return server


async def test_only_what_one_has() -> None:
    server = await server_with_jane("create", "update", "patch", "get")
    assert (await server.ask("POST", ROLES, role("fine", READ_PODS), token="jane")).status == 201
    more = {"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "secrets"]}
    said = await server.ask("POST", ROLES, role("more", more), token="jane")
    assert said.status == 403
    assert said.message == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}'
    )
    said = await server.ask("PUT", f"{ROLES}/fine", role("fine", {**READ_PODS, "verbs": ["*"]}), token="jane")
    assert said.status == 403
    relabelled = {**role("manager"), "metadata": {"name": "manager", "labels": {"a": "b"}}}
    stored = (await server.ask("GET", f"{ROLES}/manager")).body
    said = await server.ask("PUT", f"{ROLES}/manager", {**relabelled, "rules": stored["rules"]}, token="jane")
    assert said.status == 200


async def test_binding_needs_what_the_role_gives() -> None:
    server = await server_with_jane("create")
    await server.ask("POST", ROLES, role("reader", READ_PODS))
    await server.ask("POST", ROLES, role("writer", {**READ_PODS, "verbs": ["create"]}))
    assert (await server.ask("POST", BINDINGS, binding("reader", "joe"), token="jane")).status == 201
    said = await server.ask("POST", BINDINGS, binding("writer", "joe"), token="jane")
    assert said.status == 403
    assert '{APIGroups:[""], Resources:["pods"], Verbs:["create"]}' in said.message


async def test_the_verbs_that_exempt() -> None:
    server = await server_with_jane("create", "escalate", "bind")
    anything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert (await server.ask("POST", ROLES, role("all", anything), token="jane")).status == 201
    assert (await server.ask("POST", BINDINGS, binding("all", "joe"), token="jane")).status == 201
