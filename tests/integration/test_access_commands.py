"""wherry access, wherry token, wherry secrets rotate over a real control plane; what of it lies on the disk and in logs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from control_plane_process import ControlPlane
from kubectl_tool import PROGRAMS, Kubectl, newest

from wherry.cli.main import main
from wherry.client import kubeconfig_load

HIDDEN = "c2Vzc2lvbi1zZXNhbWUtNDcxMQ=="


@pytest.fixture
def home(tmp_path: Path, plane: ControlPlane) -> Iterator[Path]:
    """A kubeconfig of the user's own, with another cluster in it."""
    config = tmp_path / "config"
    config.write_text(plane.kubeconfig.read_text())
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(config)
    yield config
    if before is None:
        del os.environ["KUBECONFIG"]
    else:
        os.environ["KUBECONFIG"] = before


def wherry(plane: ControlPlane, *arguments: str, code: int = 0, **environment: str) -> Result:
    command = [*arguments, "--state-dir", str(plane.state.root)]
    result = CliRunner().invoke(main, command, env=environment, prog_name="wherry")
    assert result.exit_code == code, (result.output, result.exception)
    return result


def ask_as(plane: ControlPlane, user: dict[str, Any], path: str) -> int:
    return plane.ask("GET", path, token=user["token"]).status


def users(config: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["user"] for each in config["users"]}


def test_one_command_for_dev_staging_and_production(plane: ControlPlane, home: Path, tmp_path: Path) -> None:
    result = wherry(plane, "access", "a-dev:admin", "a-staging", "a-production:view", "--credential", "token")
    assert "context a-dev@wherry in" in result.output
    config = yaml.safe_load(home.read_text())
    assert config["current-context"] == "wherry", "what was current stays so"
    contexts = {each["name"]: each["context"] for each in config["contexts"]}
    assert contexts["a-staging@wherry"]["namespace"] == "a-staging"
    found = users(config)
    path = "/api/v1/namespaces/{}/{}"
    reached = {
        (name, where, what): ask_as(plane, found[f"{name}@wherry"], path.format(where, what))
        for name in ("a-dev", "a-staging", "a-production")
        for where in ("a-dev", "a-staging", "a-production")
        for what in ("configmaps", "secrets")
    }
    assert {key for key, status in reached.items() if status == 200} == {
        ("a-dev", "a-dev", "configmaps"),
        ("a-dev", "a-dev", "secrets"),
        ("a-staging", "a-staging", "configmaps"),
        ("a-staging", "a-staging", "secrets"),
        ("a-production", "a-production", "configmaps"),
    }
    wherry(plane, "access", "a-dev", "--revoke")
    assert ask_as(plane, found["a-dev@wherry"], path.format("a-dev", "configmaps")) == 401
    assert "a-dev@wherry" not in users(yaml.safe_load(home.read_text()))
    assert ask_as(plane, found["a-staging@wherry"], path.format("a-staging", "configmaps")) == 200


def test_a_certificate_in_a_file_that_can_be_given_away(plane: ControlPlane, home: Path, tmp_path: Path) -> None:
    before = home.read_text()
    file = tmp_path / "ci.kubeconfig"
    wherry(plane, "access", "b-ci:edit", "-o", str(file))
    assert home.read_text() == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    access = kubeconfig_load.resolve(kubeconfig_load.load([file]))
    assert (access.context, access.namespace) == ("b-ci@wherry", "b-ci")
    assert access.certificate is not None
    assert access.key is not None
    for name, data in (("crt", access.certificate), ("key", access.key)):
        (tmp_path / f"given.{name}").write_bytes(data)
    context = plane.context(str(tmp_path / "given"))
    assert plane.ask("GET", "/api/v1/namespaces/b-ci/secrets", context=context).status == 200
    said = plane.ask("GET", "/api/v1/namespaces/default/secrets", context=context)
    assert said.problem[2].startswith('secrets is forbidden: User "wherry:b-ci:edit" cannot list resource "secrets"')
    wherry(plane, "access", "b-ci:edit", "--revoke")
    assert plane.ask("GET", "/api/v1/namespaces/b-ci/secrets", context=context).status == 403


def test_mistakes_are_said(plane: ControlPlane, home: Path) -> None:
    assert "there is no ClusterRole 'boss'" in wherry(plane, "access", "c:boss", code=1).output
    assert plane.ask("GET", "/api/v1/namespaces/c").status == 404, "nothing is made then"
    assert "a namespace is lower-case" in wherry(plane, "access", "Not_One", code=2).output
    assert 'serviceaccounts "nobody" not found' in wherry(plane, "token", "--service-account", "nobody", code=1).output
    asked = json.dumps({"apiVersion": "client.authentication.k8s.io/v2"})
    assert "are answered" in wherry(plane, "token", code=1, KUBERNETES_EXEC_INFO=asked).output
    for arguments in (["-n", "c"], ["--audience", "vault"], ["--duration", "600"]):
        refused = wherry(plane, "token", *arguments, code=2).output
        assert "name a --service-account" in refused
        assert "CERTIFICATE" not in refused, "no administrator by mistake"


def test_an_exec_credential(plane: ControlPlane) -> None:
    asked = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {}})
    said = json.loads(wherry(plane, "token", KUBERNETES_EXEC_INFO=asked).output)
    assert (said["kind"], said["apiVersion"]) == ("ExecCredential", "client.authentication.k8s.io/v1beta1")
    assert said["status"]["clientCertificateData"].startswith("-----BEGIN CERTIFICATE-----")
    plane.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "plugin"}})
    said = json.loads(wherry(plane, "token", "--service-account", "plugin", "--duration", "600").output)
    assert said["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plane.ask("GET", "/version", token=said["status"]["token"]).status == 200
    bare = wherry(plane, "token", "--service-account", "plugin", "-o", "text", "--audience", "vault").output.strip()
    assert plane.ask("GET", "/version", token=bare).status == 401, "it is for somebody else"


@pytest.mark.kubectl
@newest
def test_kubectl_asks_the_plugin_and_is_extended_by_us(
    plane: ControlPlane, home: Path, tmp_path: Path, release: str
) -> None:
    wherry(plane, "access", "d-exec:view", "--credential", "exec")
    kubectl = Kubectl(PROGRAMS[release], home, tmp_path, "d-exec")
    user = "system:serviceaccount:d-exec:wherry-view"
    who = kubectl("--context", "d-exec@wherry", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert who == user
    plugins = tmp_path / "bin"
    plugins.mkdir()
    installed = shutil.which("kubectl-wherry", path=str(Path(sys.executable).parent))
    script = plugins / "kubectl-wherry"
    script.write_text(f"#!{sys.executable}\nfrom wherry.cli.main import kubectl\nkubectl()\n")
    script.chmod(0o755)
    path = f"{Path(installed).parent if installed else plugins}:{os.environ['PATH']}"
    done = subprocess.run(
        [kubectl.program, "wherry", "--help"], env={"PATH": path, "HOME": str(tmp_path)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"Usage: kubectl wherry [OPTIONS] COMMAND")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_nothing_secret_lies_about(tmp_path: Path) -> None:
    """In files of a system of its own: who may read them, and what is in them."""
    previous = os.umask(0)
    try:
        with ControlPlane(tmp_path) as plane:
            plane.ask("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "data": {"w": HIDDEN}})
            plane.ask("GET", "/api/v1/namespaces/default/secrets/s")
            broken = {"metadata": {"name": "t", "labels": {"not valid!": "x"}}, "data": {"w": HIDDEN}}
            assert plane.ask("POST", "/api/v1/namespaces/default/secrets", broken).status == 422
            plane.ask(
                "POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "u"}, "data": {"w": HIDDEN + "?"}}
            )
            keys = json.loads(plane.state.encryption_keys.read_text())["keys"]
            said = wherry(plane, "secrets", "rotate").output
            assert "1 values encrypted" in said
            account = plane.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "nobody"}})
            assert account.status == 201
            token = wherry(plane, "token", "--service-account", "nobody", "-o", "text").output.strip()
            refused = plane.ask("POST", "/wherry/secrets/rotate", token=token)
            assert refused.problem[2].endswith('cannot post path "/wherry/secrets/rotate"')
            assert plane.ask("GET", "/api/v1/namespaces/default/secrets/s").body["data"] == {"w": HIDDEN}
    finally:
        os.umask(previous)
    for path in (plane.state.root, *(each for each in plane.state.root.rglob("*") if each.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    private = [path for path in files(plane.state.root) if "pki" in path.parts or path.name.startswith("storage")]
    assert len(private) > 6
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in private} == {"0o600"}, private
    for path in (*files(plane.state.root), plane.log):
        assert HIDDEN.encode() not in path.read_bytes(), path
    assert keys[0]["key"] not in plane.log.read_text()
    rotated = wherry(plane, "secrets", "rotate").output
    assert "1 values encrypted" in rotated, "also while it does not run"
    with plane:
        assert plane.ask("GET", "/api/v1/namespaces/default/secrets/s").body["data"] == {"w": HIDDEN}
    assert keys[0] not in json.loads(plane.state.encryption_keys.read_text())["keys"]
