"""Who may do what, end to end: roles for an account, its token by TokenRequest, Kubernetes' words for what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from control_plane_process import ControlPlane
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
