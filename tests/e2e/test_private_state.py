"""The state directory is its owner's alone, and no log of a system tells what was confided to it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import stat
from pathlib import Path

from kubectl import Kubectl, needs_kubectl, newest
from manifests import FOREVER, container, pod, secret, shell
from wherry_system import WherrySystem, until

AUDITED = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "metadata": {"name": "everything"},
    "rules": [{"level": "Request"}],
}
OF_PODS = re.compile(r"pods/|volumes/|run/ports|nodes/[^/]+/pods/|images/layers/|launcher/kits/")
"""What containers see: they need it in the modes their images and volumes say. The folder around it is closed."""
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+(\S+)")


def open_to_others(root: Path) -> list[str]:
    """Files and folders that are not 0600, 0700 and of their owner's. Some come and go while we look."""
    found = []
    for folder, _, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, file) for file in files)):
            name = str(path.relative_to(root))
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if mode & 0o077 and not stat.S_ISLNK(mode) and not OF_PODS.match(name):
                    found.append(f"{stat.S_IMODE(mode):o} {name}")
    return found


def use(kubectl: Kubectl, word: str) -> list[str]:
    """Confide many things, each with `word` in it, right and wrong; what nobody may read afterwards."""
    url = f"https://127.0.0.1:{kubectl.system.port}"
    password, login = f"password-{word}", f"registry-{word}"
    auth = base64.b64encode(f"me:{login}".encode()).decode()
    docker = {"auths": {"127.0.0.1:9": {"username": "me", "password": login, "auth": auth}}}
    pull = secret("pull", **{".dockerconfigjson": json.dumps(docker)}) | {"type": "kubernetes.io/dockerconfigjson"}
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]
    mount = [{"name": "login", "mountPath": "/login"}]
    volume = [{"name": "login", "secret": {"secretName": "login"}}]
    kubectl.apply(
        secret("login", password=password),
        pull,
        pod("user", container(FOREVER, env=env, volumeMounts=mount), volumes=volume),
        pod("broken", container(shell("exit 3"), env=env)),
        pod("puller", container(FOREVER) | {"image": "127.0.0.1:9/x:v1"}, imagePullSecrets=[{"name": "pull"}]),
    )
    kubectl.ready("user")
    kubectl.run("exec", "-i", "user", "--", "cat", stdin=f"typed-{word}")
    kubectl("patch", "secret", "login", "-p", json.dumps({"stringData": {"more": f"patched-{word}"}}))
    token = kubectl("create", "token", "default").strip()
    anonymous = ["--kubeconfig=/dev/null", f"--server={url}", "--insecure-skip-tls-verify"]
    for flags in (
        [f"--token={token}"],
        [f"--token=wrong-{word}"],
        [f"--token={token[:-8]}{word}"],
        [f"--username=me{word}", f"--password=basic-{word}"],
    ):
        kubectl.run(*anonymous, *flags, "get", "pods")
    kubectl.run("create", "secret", "generic", "Bad_Name", f"--from-literal=a=refused-{word}")
    basic = base64.b64encode(f"me{word}:basic-{word}".encode()).decode()
    kept = [password, login, auth, f"typed-{word}", f"patched-{word}", f"wrong-{word}", f"basic-{word}", basic]
    encoded = [base64.b64encode(each.encode()).decode() for each in (password, f"patched-{word}", f"refused-{word}")]
    return [*kept, *encoded, f"refused-{word}", token, token.rpartition(".")[2], f"{token[:-8]}{word}"]


@needs_kubectl
def test_only_its_owner_reads_the_state_and_logs_tell_no_secrets(own_system: WherrySystem) -> None:
    policy = own_system.home / "policy.json"
    policy.write_text(json.dumps(AUDITED))
    policy.chmod(0o644)
    own_system.start("--audit-policy", str(policy))
    kubectl = newest(own_system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0, "service account default")
    confided = use(kubectl, secrets.token_hex(8))
    own_system.wherry("secrets rotate")
    own_system.kill("control-plane")
    own_system.kill("node-agent")
    kubectl("get", "pods")
    assert open_to_others(own_system.state) == []
    for key in (own_system.state / "pki").glob("*.key"):
        confided += _PEM.findall(key.read_text())
    keys = json.loads((own_system.state / "pki" / "encryption.json").read_text())["keys"]
    confided += [each["key"] for each in keys]
    logs = {path: path.read_text(errors="replace") for path in (own_system.state / "logs").glob("*.log*")}
    assert {"control-plane.log", "node-agent.log", "audit.log", "supervisor.log"} <= {path.name for path in logs}
    told = [(path.name, each) for path, text in logs.items() for each in confided if each in text]
    assert told == []
    assert '"level":"Request"' in logs[own_system.state / "logs" / "audit.log"], "the audit log was on"
