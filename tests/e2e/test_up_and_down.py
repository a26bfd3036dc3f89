"""The life of a system: up, status, down, up again, down for good; two at once; paths longer than a socket may have."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clients import page
from kubectl import Kubectl, needs_kubectl, newest
from manifests import Obj, config_map, container, deployment, node_port, pod, program, service, shell, web
from wherry_system import Tier, WherrySystem, until

from wherry.testing.launcher_process import ensure_user

SINGLE_USER = "wherrysingle"
ROLES = {"supervisor", "control-plane", "node-agent", "netd", "launcher"}


def _ready_for_pods(system: WherrySystem) -> Kubectl:
    kubectl = newest(system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0, "service account default")
    return kubectl


@needs_kubectl
def test_down_and_up_brings_everything_back(own_system: WherrySystem, measured: Callable[[str, float], None]) -> None:
    assert "API ready" in own_system.start().stdout
    kubectl = _ready_for_pods(own_system)
    claim: Obj = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
                  "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}  # fmt: skip
    main = container(shell("date +%N >> /data/starts; trap 'echo ended >> /data/starts; exit 0' TERM; sleep infinity & wait"),
                     volumeMounts=[{"name": "data", "mountPath": "/data"}])  # fmt: skip
    kubectl.apply(
        deployment("web", web("web"), replicas=2), node_port("web"), config_map("settings", a="1"),
        claim, pod("keeps", main, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]),
    )  # fmt: skip
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    kubectl.ready("keeps")
    port = kubectl.path_of("{.spec.ports[0].nodePort}", "service/web")
    uid = kubectl.path_of("{.metadata.uid}", "pod/keeps")
    urls = {"default/web": f"http://127.0.0.1:{port}"}
    status = until(lambda: (found := own_system.status())["urls"] == urls and found, "the node port is listened on")
    assert (status["state"], status["tier"], status["context"]) == ("running", own_system.tier.name, own_system.context)
    assert {each["role"] for each in status["processes"]} == ROLES
    assert status["apiServer"] == f"https://127.0.0.1:{own_system.port}"

    own_system.stop()
    assert own_system.status()["state"] == "stopped"
    assert own_system.wherry("status", check=False).returncode == 1
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", own_system.port)) != 0
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0

    own_system.start()
    assert kubectl.json("configmap", "settings")["data"] == {"a": "1"}
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    kubectl.ready("keeps")
    assert kubectl.path_of("{.metadata.uid}", "pod/keeps") == uid
    starts = ("exec", "keeps", "--", "cat", "/data/starts")  # refused until it runs: what is known of it is from before
    lines = until(lambda: len(found := kubectl.run(*starts).stdout.split()) > 2 and found, "a start")
    assert lines[1] == "ended"
    assert until(lambda: page(f"http://127.0.0.1:{port}/"), "the node port answers").startswith("web web-")

    contexts = own_system.kubeconfig.read_text()
    assert own_system.context in contexts
    own_system.stop("--delete")
    assert not own_system.state.exists()
    assert not own_system.kubeconfig.exists()  # nothing else was in it
    again = own_system.wherry("status", check=False)
    assert (again.returncode, "run `wherry up`" in again.stderr) == (1, True)


@needs_kubectl
def test_up_on_a_running_system_changes_nothing(own_system: WherrySystem) -> None:
    own_system.start()
    before = until(lambda: (found := own_system.status())["state"] == "running" and found, "it runs")
    assert "runs already" in own_system.start().stdout
    until(lambda: own_system.status() == before, "the same, once it has answered in time")


@needs_kubectl
def test_a_deep_state_directory_and_another_system_beside_it(tier: Tier, system: WherrySystem) -> None:
    """Unix socket paths end at 108 bytes; the two systems share nothing but the machine."""
    deep = WherrySystem(tier, state="/".join(["a-rather-long-directory-name"] * 5))
    try:
        deep.start()
        kubectl = _ready_for_pods(deep)
        kubectl.apply(pod("one", web("deep")))
        kubectl.ready("one")
        assert kubectl("exec", "one", "--", "cat", "/etc/hostname") == "one\n"
        assert newest(system).run("get", "pod", "one").returncode == 1
        until(lambda: {each.status()["state"] for each in (deep, system)} == {"running"}, "both run")
    finally:
        deep.close()


@needs_kubectl
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_other_kubernetes_versions(own_system: WherrySystem, version: str) -> None:
    own_system.start("--kubernetes-version", version)
    kubectl = _ready_for_pods(own_system)
    assert f"Server Version: v{version}." in kubectl("version")
    kubectl.apply(deployment("web", web()), service("web"))
    kubectl.wait("deployment/web", "condition=Available")
    assert kubectl("exec", "deployment/web", "--", "cat", "/etc/hostname").startswith("web-")


@needs_kubectl
def test_a_user_with_a_single_id(tier: Tier) -> None:
    """Without subordinate ids every user of a container is the one we are; what runs as another number says so."""
    if tier.user is None:
        pytest.skip("as root, and for an ordinary user who runs the tests, the ids are what they are")
    ensure_user(SINGLE_USER)
    subprocess.run(
        ["usermod", "--del-subuids", "0-4294967294", "--del-subgids", "0-4294967294", SINGLE_USER], check=True
    )
    system = WherrySystem(replace(tier, user=SINGLE_USER))
    try:
        system.start()
        kubectl = _ready_for_pods(system)
        who = shell(
            "id -u; touch /tmp/file /etc/file && chown 1000:1000 /tmp/file; echo chown $?; trap exit TERM; sleep infinity & wait"
        )
        kubectl.apply(
            pod("root", container(who)),
            pod("other", container(shell("id -u; trap exit TERM; sleep infinity & wait"), securityContext={"runAsUser": 1234})),
            deployment("web", web(), replicas=2), service("web"),
        )  # fmt: skip
        kubectl.ready("root", "other")
        kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
        until(lambda: kubectl("logs", "root") == "0\nchown 0\n", "root's words")
        until(lambda: kubectl("logs", "other") == "1234\n", "the other's words")
        fetched = until(
            lambda: kubectl.run("exec", "root", "--", *program("fetch", "http://web/")).stdout, "the Service answers"
        )
        assert fetched.startswith("web web-")
    finally:
        system.close()


def test_a_taken_port_is_left_alone(own_system: WherrySystem) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own_system.port = taken.getsockname()[1]
        own_system.start()
        assert own_system.port > taken.getsockname()[1]
        assert json.loads((own_system.state / "config.json").read_text())["port"] == own_system.port


def test_what_goes_wrong_is_said(own_system: WherrySystem, tmp_path: Path) -> None:
    def says(*arguments: str) -> tuple[int, str]:
        done = own_system.wherry(*arguments, check=False)
        return done.returncode, done.stderr

    assert says("status")[0] == 1
    code, text = says("up", "--kubernetes-version", "1.1")
    assert (code, "1.36" in text) == (2, True)
    code, text = says("up", "--pod-cidr", "10.96.0.0/16")
    assert (code, "overlaps" in text) == (2, True)
    code, text = says("up", "/nothing/here")
    assert (code, "/nothing/here" in text) == (2, True)
    assert not (own_system.state / "run" / "supervisor.pid").exists()
