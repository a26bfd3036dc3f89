"""Unmodified kubectl against the API server with controllers: what people type, with what they see."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import ApiServer
from client_world import eventually

pytestmark = pytest.mark.kubectl

VERSIONS = ("1.33", "1.27")
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def find(version: str) -> str | None:
    """`kubectl.1.33` on PATH or beside the program `kubectl` really is; for the first version plain `kubectl` will do."""
    name = f"kubectl.{version}"
    found = shutil.which(name)
    plain = shutil.which("kubectl")
    if found is None and plain is not None:
        beside = Path(plain).resolve().parent / name
        found = str(beside) if beside.exists() else None
    return found or (plain if version == VERSIONS[0] else None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    if not any(find(version) for version in VERSIONS):
        pytest.skip("no kubectl on PATH")
    with ApiServer(tmp_path_factory.mktemp("api"), "--controllers") as running:
        yield running


class Kubectl:
    def __init__(self, program: str, server: ApiServer, namespace: str, home: Path) -> None:
        self.program = program
        self._namespace = namespace
        self._environment = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, "-n", self._namespace, *arguments],
            input=stdin,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.returncode == 0, f"{self.program} {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def refused(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture(params=VERSIONS)
def kubectl(request: pytest.FixtureRequest, server: ApiServer, tmp_path: Path) -> Iterator[Kubectl]:
    program = find(request.param)
    if program is None:
        pytest.skip(f"no kubectl {request.param}")
    namespace = f"t-{abs(hash(request.node.name)) % 10**8}"
    kubectl = Kubectl(program, server, namespace, tmp_path)
    kubectl("create", "namespace", namespace)
    eventually(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    yield kubectl
    kubectl("delete", "namespace", namespace, "--wait=false")


def test_apply_diff_edit_and_roll_back(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", "deployment/web", "--timeout=50s")
    second = DEPLOYMENT.replace("nginx:1", "nginx:2")
    diff = kubectl.run("diff", "-f", "-", stdin=second)
    assert diff.returncode == 1
    assert "+      - image: nginx:2" in diff.stdout
    assert "deployment.apps/web configured" in kubectl("apply", "-f", "-", stdin=second)
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "deployment/web", "--timeout=50s")
    assert "edited" in kubectl("edit", "deployment", "web", EDITOR="sed -i s/nginx:2/nginx:3/")
    image = "-o=jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "web", image) == "nginx:3"
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=3", "deployment/web", "--timeout=50s")
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web")
    assert kubectl("get", "deployment", "web", image) == "nginx:2"
    assert "REVISION" in kubectl("rollout", "history", "deployment/web")
    for verb in ("pause", "resume", "restart"):
        kubectl("rollout", verb, "deployment/web")


def test_scale_label_annotate_patch_set_image(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=DEPLOYMENT)
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=50s")
    assert "scaled" in kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("label", "deployment", "web", "x=y")
    kubectl("annotate", "deployment", "web", "n=m")
    kubectl("set", "image", "deployment/web", "c=nginx:9")
    kubectl(
        "patch",
        "deployment",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"1"}]}]}}}}',
    )
    found = kubectl(
        "get", "deployment", "web", "-o=jsonpath={.spec.replicas} {.metadata.labels.x} {.metadata.annotations.n} "
        "{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].name}",
    )  # fmt: skip
    assert found == "3 y m nginx:9 A"
    kubectl("wait", "--for=condition=Progressing", "deployment/web", "--timeout=50s")
    assert kubectl("get", "pods", "-l", "app=web", "-o", "name").startswith("pod/web-")


def test_every_output_format(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=k=v")
    assert kubectl("get", "configmap", "c").splitlines()[0].split() == ["NAME", "DATA", "AGE"]
    assert "k: v" in kubectl("get", "configmap", "c", "-o", "yaml")
    assert '"k": "v"' in kubectl("get", "configmap", "c", "-o", "json")
    assert kubectl("get", "configmap", "c", "-o", "name") == "configmap/c\n"
    assert kubectl("get", "cm", "c", "-o", "go-template={{.data.k}}") == "v"
    assert "c" in kubectl("get", "cm", "-o", "custom-columns=N:.metadata.name", "--no-headers").split()
    assert "SELECTOR" in kubectl("get", "service", "-A", "-o", "wide")
    assert kubectl("get", "cm", "-A", "--sort-by=.metadata.name")
    assert '"kind":"ConfigMapList"' in kubectl("get", "--raw", "/api/v1/configmaps")


def test_what_the_server_tells(kubectl: Kubectl) -> None:
    assert "v1.36" in kubectl("version")
    assert "configmaps" in kubectl("api-resources")
    assert "apps/v1" in kubectl("api-versions")
    assert "is running at" in kubectl("cluster-info")
    assert "Container image name" in kubectl("explain", "pod.spec.containers.image")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl.run("auth", "can-i", "create", "pods", "--as=eve").stdout == "no\n"


def test_create_generators_and_describe(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=2")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=r", "--user=eve")
    kubectl("create", "job", "j", "--image=nginx")
    kubectl("create", "quota", "q", "--hard=pods=5")
    kubectl("create", "service", "clusterip", "svc", "--tcp=80:8080")
    kubectl("run", "p", "--image=nginx")
    kubectl("expose", "pod", "p", "--port=80")
    assert kubectl("auth", "can-i", "get", "pods", "--as=eve") == "yes\n"
    assert kubectl("create", "token", "sa").count(".") == 2
    for what in ("deployment/d", "secret/s", "service/svc", "pod/p", "role/r", "job/j"):
        assert "Name:" in kubectl("describe", what)


def test_watch_sees_what_happens(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "first")
    watching = subprocess.Popen(
        [kubectl.program, "-n", kubectl._namespace, "get", "configmaps", "-w", "--no-headers"],
        env=kubectl._environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        seen = [watching.stdout.readline().split()[0]]
        kubectl("create", "configmap", "second")
        while "second" not in seen:
            seen.append(watching.stdout.readline().split()[0])
        assert "first" in seen
    finally:
        watching.terminate()
        watching.wait()
        watching.stdout.close()


def test_mistakes_are_told_as_kubernetes_tells_them(kubectl: Kubectl) -> None:
    assert kubectl.refused("get", "pod", "nope") == 'Error from server (NotFound): pods "nope" not found\n'
    bad = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndaata: {}\n"
    assert 'strict decoding error: unknown field "daata"' in kubectl.refused("create", "-f", "-", stdin=bad)
    wrong = DEPLOYMENT.replace("replicas: 1", 'replicas: "1"')
    message = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    assert message in kubectl.refused("create", "-f", "-", stdin=wrong)
    kubectl("create", "configmap", "c")
    assert 'configmaps "c" already exists' in kubectl.refused("create", "configmap", "c")
    name = kubectl.refused("create", "configmap", "Bad_Name")
    assert "a lowercase RFC 1123 subdomain must consist of" in name


def test_delete_waits_until_it_is_gone(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=DEPLOYMENT)
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=50s")
    kubectl("delete", "-f", "-", stdin=DEPLOYMENT)
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=50s")
    assert kubectl("get", "all", "--ignore-not-found") == ""
