"""Who may do what, end to end: roles for an account, its token by TokenRequest, Kubernetes' words for what it may not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from control_plane_process import Answer, ControlPlane
from kubectl_tool import Kubectl, newest


@pytest.mark.kubectl
@newest
def test_roles_decide(kubectl: Kubectl, plane: ControlPlane, tmp_path: Path) -> None:
    """A role for an account, its token by TokenRequest, what it may and may not, in Kubernetes' words."""
    ns = kubectl.namespace
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={ns}:reader")
    kubectl("create", "configmap", "c")
    token = kubectl("create", "token", "reader").strip()
    config = json.loads(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    reader = Kubectl(kubectl.program, tmp_path / "kubeconfig", tmp_path, ns)
    user = f"system:serviceaccount:{ns}:reader"
    assert reader("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == user
    assert "configmap/c" in reader("get", "cm", "-o", "name").split()
    assert reader("auth", "can-i", "list", "configmaps") == "yes\n"
    assert reader.run("auth", "can-i", "delete", "configmaps").stdout == "no\n"
    assert "configmaps" in reader("auth", "can-i", "--list")
    assert reader.fails("delete", "cm", "c") == (
        f'Error from server (Forbidden): configmaps "c" is forbidden: User "{user}" cannot delete resource "configmaps" '
        f'in API group "" in the namespace "{ns}"\n'
    )
    assert reader.fails("get", "nodes") == (
        f'Error from server (Forbidden): nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" '
        "at the cluster scope\n"
    )
    assert reader.fails("get", "pods", "-n", "kube-system") == (
        f'Error from server (Forbidden): pods is forbidden: User "{user}" cannot list resource "pods" in API group "" '
        'in the namespace "kube-system"\n'
    )
    kubectl("delete", "rolebinding", "reader")
    assert "Forbidden" in reader.fails("get", "cm")


RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Account:
    """A service account of its own namespace and what its token may do."""

    def __init__(self, plane: ControlPlane, namespace: str, name: str = "robot") -> None:
        self.plane, self.namespace, self.name = plane, namespace, name
        self.core = f"/api/v1/namespaces/{namespace}"
        self.user = f"system:serviceaccount:{namespace}:{name}"
        plane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        assert plane.ask("POST", f"{self.core}/serviceaccounts", {"metadata": {"name": name}}).status == 201
        self.token = self.new_token()

    def new_token(self, **spec: Any) -> str:
        said = self.plane.ask("POST", f"{self.core}/serviceaccounts/{self.name}/token", {"spec": spec})
        assert said.status == 201, said.body
        token: str = said.body["status"]["token"]
        return token

    def ask(self, method: str, target: str, body: Any = None, content_type: str = "application/json") -> Answer:
        return self.plane.ask(method, target, body, content_type, token=self.token)

    def grant(self, name: str, *rules: dict[str, Any], kind: str = "Role") -> None:
        """A role, and its binding in the namespace."""
        path = f"{RBAC}/namespaces/{self.namespace}"
        roles = f"{path}/roles" if kind == "Role" else f"{RBAC}/clusterroles"
        assert self.plane.ask("POST", roles, {"metadata": {"name": name}, "rules": rules}).status == 201
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
        assert self.plane.ask("POST", f"{path}/rolebindings", binding).status == 201

    def forbidden(
        self, verb: str, resource: str, where: str = "", group: str = "", name: str = ""
    ) -> tuple[int, str, str]:
        where = where or f'in the namespace "{self.namespace}"'
        plural = resource.partition("/")[0] + (f".{group}" if group else "")
        what = f'{plural} "{name}"' if name else plural
        return 403, "Forbidden", (
            f'{what} is forbidden: User "{self.user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
        )  # fmt: skip


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiGroups": groups.split(","),
        "resources": resources.split(","),
        "verbs": verbs.split(","),
    }
    return {**made, "resourceNames": names.split(",")} if names else made


def test_a_role_allows_what_it_says_and_nothing_else(plane: ControlPlane) -> None:
    robot = Account(plane, "accounts-role")
    maps = f"{robot.core}/configmaps"
    assert robot.ask("GET", maps).problem == robot.forbidden("list", "configmaps")
    robot.grant("reader", rule("get,list", "configmaps"), rule("get", "secrets", names="one"))
    plane.ask("POST", maps, {"metadata": {"name": "c"}})
    assert [robot.ask("GET", target).status for target in (maps, f"{maps}/c")] == [200, 200]
    assert robot.ask("GET", f"{maps}?watch=1").problem == robot.forbidden("watch", "configmaps")
    assert robot.ask("POST", maps, {"metadata": {"name": "d"}}).problem == robot.forbidden("create", "configmaps")
    assert robot.ask("DELETE", f"{maps}/c").problem == robot.forbidden("delete", "configmaps", name="c")
    assert robot.ask("DELETE", maps).problem == robot.forbidden("deletecollection", "configmaps")
    merge = "application/merge-patch+json"
    assert robot.ask("PATCH", f"{maps}/c", {}, merge).problem == robot.forbidden("patch", "configmaps", name="c")
    assert robot.ask("GET", f"{robot.core}/secrets/one").problem[:2] == (404, "NotFound")
    assert robot.ask("GET", f"{robot.core}/secrets/two").problem == robot.forbidden("get", "secrets", name="two")
    assert robot.ask("GET", f"{robot.core}/pods/p/log").problem == robot.forbidden("get", "pods/log", name="p")
    apps = f"/apis/apps/v1/namespaces/{robot.namespace}/deployments"
    assert robot.ask("GET", apps).problem == robot.forbidden("list", "deployments", group="apps")
    scale = robot.forbidden("update", "deployments/scale", group="apps", name="d")
    assert robot.ask("PUT", f"{apps}/d/scale", {}).problem == scale
    assert robot.ask("GET", "/api/v1/configmaps").problem == robot.forbidden(
        "list", "configmaps", "at the cluster scope"
    )
    other = robot.forbidden("list", "configmaps", 'in the namespace "default"')
    assert robot.ask("GET", "/api/v1/namespaces/default/configmaps").problem == other
    assert robot.ask("GET", "/metrics").problem == (
        403,
        "Forbidden",
        f'forbidden: User "{robot.user}" cannot get path "/metrics"',
    )
    assert robot.ask("GET", "/version").status == 200


def test_reviews_agree(plane: ControlPlane) -> None:
    robot = Account(plane, "accounts-review")
    robot.grant("scaler", rule("update,patch", "deployments/scale", "apps"), kind="ClusterRole")

    def may(**attributes: str) -> bool:
        said = robot.ask("POST", REVIEW, {"spec": {"resourceAttributes": attributes}})
        assert said.status == 201, said.body
        as_admin = {"user": robot.user, "groups": ["system:authenticated"], "resourceAttributes": attributes}
        other = plane.ask("POST", REVIEW.replace("selfsubject", "subject"), {"spec": as_admin})
        assert other.body["status"]["allowed"] == said.body["status"]["allowed"]
        return bool(said.body["status"]["allowed"])

    scale = {"resource": "deployments", "subresource": "scale", "group": "apps"}
    assert may(verb="patch", namespace=robot.namespace, **scale)
    assert not may(verb="patch", namespace="default", **scale)
    assert not may(verb="get", namespace=robot.namespace, **scale)
    rules = robot.ask("POST", REVIEW.replace("access", "rules"), {"spec": {"namespace": robot.namespace}}).body[
        "status"
    ]
    assert rule("update,patch", "deployments/scale", "apps") in rules["resourceRules"]
    who = robot.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).body["status"]["userInfo"]
    assert who["username"] == robot.user
    assert {f"system:serviceaccounts:{robot.namespace}", "system:serviceaccounts", "system:authenticated"} == {
        *who["groups"]
    }
    said = plane.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": robot.token}})
    assert (said.body["status"]["authenticated"], said.body["status"]["user"]["username"]) == (True, robot.user)
    plane.ask("DELETE", f"{RBAC}/clusterroles/scaler")
    assert not may(verb="patch", namespace=robot.namespace, **scale)


def test_nobody_grants_what_they_do_not_have(plane: ControlPlane) -> None:
    robot = Account(plane, "accounts-escalation")
    robot.grant(
        "boss", rule("create,update,bind", "roles,rolebindings", "rbac.authorization.k8s.io"), rule("get", "pods")
    )
    roles = f"{RBAC}/namespaces/{robot.namespace}/roles"
    assert robot.ask("POST", roles, {"metadata": {"name": "ok"}, "rules": [rule("get", "pods")]}).status == 201
    said = robot.ask("POST", roles, {"metadata": {"name": "more"}, "rules": [rule("get", "secrets")]})
    assert said.problem[:2] == (403, "Forbidden")
    assert "is attempting to grant RBAC permissions not currently held" in said.problem[2]
    assert plane.ask("GET", f"{roles}/more").status == 404
    headers = {"Impersonate-User": "kubernetes-admin"}
    as_admin = plane.ask("GET", f"{robot.core}/pods", token=robot.token, **headers)
    at_all = "at the cluster scope"
    assert as_admin.problem == robot.forbidden("impersonate", "users", at_all, name="kubernetes-admin")


def eventually(status: int, ask: Callable[[], Answer]) -> Answer:
    end = time.monotonic() + 60
    while (said := ask()).status != status:
        assert time.monotonic() < end, said
        time.sleep(0.02)
    return said


def test_a_bound_token_dies_with_its_pod(plane: ControlPlane) -> None:
    robot = Account(plane, "accounts-bound")
    robot.grant("reader", rule("list", "pods"))
    spec = {"serviceAccountName": robot.name, "schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}
    pods = f"{robot.core}/pods"
    pod = plane.ask("POST", pods, {"metadata": {"name": "p"}, "spec": spec}).body["metadata"]
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["uid"]}
    bound, free = robot.new_token(boundObjectRef=reference), robot.token
    assert plane.ask("GET", pods, token=bound).status == 200
    said = plane.ask(
        "POST", f"{robot.core}/serviceaccounts/robot/token", {"spec": {"boundObjectRef": {**reference, "uid": "x"}}}
    )
    message = (
        'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (x) does not match the UID in '
        "record. The object might have been deleted and then recreated"
    )
    assert said.problem == (409, "Conflict", message)
    assert plane.ask("DELETE", f"{pods}/p?gracePeriodSeconds=0").status == 200
    assert plane.ask("GET", pods, token=bound).problem == (401, "Unauthorized", "Unauthorized")
    assert plane.ask("GET", pods, token=free).status == 200
    plane.ask("POST", pods, {"metadata": {"name": "p"}, "spec": spec})  # another pod of that name
    assert plane.ask("GET", pods, token=bound).status == 401
    assert plane.ask("DELETE", f"{robot.core}/serviceaccounts/robot").status == 200
    assert plane.ask("GET", pods, token=free).status == 401


def test_a_secret_of_the_token_type_is_filled(plane: ControlPlane) -> None:
    robot = Account(plane, "accounts-secret")
    secret = {
        "metadata": {"name": "long", "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token",
    }
    assert plane.ask("POST", f"{robot.core}/secrets", secret).status == 201
    end = time.monotonic() + 60
    while not (data := plane.ask("GET", f"{robot.core}/secrets/long").body.get("data") or {}).get("token"):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert sorted(data) == ["ca.crt", "namespace", "token"]
    token = base64.b64decode(data["token"]).decode()
    assert plane.ask("GET", "/version", token=token).status == 200
    plane.ask("DELETE", f"{robot.core}/secrets/long")
    eventually(401, lambda: plane.ask("GET", "/version", token=token))
