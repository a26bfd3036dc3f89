"""Environment, commands, users and etc files of a container: pure rules and their texts."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from wherry.api.resources import CONFIG_MAPS, SECRETS
from wherry.api.types import Obj
from wherry.images.rootfs import Image, RootFS
from wherry.kubelet import etc_files
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.container_start import command_of, image_reference
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.enforcement import not_enforced
from wherry.kubelet.env import Surroundings, resolve, service_variables
from wherry.kubelet.expansion import expand
from wherry.kubelet.failures import StartFailure
from wherry.kubelet.images import default_pull_policy, registry_auths
from wherry.kubelet.quality import container_resources, pod_resources, qos_class
from wherry.kubelet.security import identity

AROUND = Surroundings(NodeFacts("node", "10.244.0.1", 4000, 8 << 30), "10.244.0.9", {"CART_SERVICE_HOST": "10.96.0.7"})


def pod(*containers: Obj, **spec: object) -> Obj:
    metadata = {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": list(containers), **spec}}


def env_of(container: Obj, sources: dict[tuple[object, str], Obj | None] | None = None) -> dict[str, str]:
    found = resolve(pod(container), container, sources or {}, AROUND)  # type: ignore[arg-type]
    return {key: value for key, value in found.items() if key != "CART_SERVICE_HOST"}


def test_values_expand_what_stands_before_them() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(CART_SERVICE_HOST)-$(LATER)-$$(A)"},
        {"name": "LATER"},
    ]
    assert env_of({"name": "c", "env": env}) == {"A": "1", "B": "1-10.96.0.7-$(LATER)-$(A)", "LATER": ""}


def test_env_from_is_overridden_by_env() -> None:
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [{"name": "A", "value": "mine"}, {"name": "X", "value": "$(S_KEY)"}],
    }
    sources = {
        (CONFIG_MAPS, "m"): {"data": {"A": "theirs", "B": "b", "bad=name": "x"}},
        (SECRETS, "s"): {"data": {"KEY": base64.b64encode(b"k").decode()}},
    }
    assert env_of(container, sources) == {"A": "mine", "B": "b", "S_KEY": "k", "X": "k"}


@pytest.mark.parametrize(
    ("value_from", "message"),
    [
        ({"configMapKeyRef": {"name": "m", "key": "k"}}, "couldn't find key k in ConfigMap shop/m"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, 'secret "s" not found'),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "unsupported fieldPath: spec.nope"),
        ({"fileKeyRef": {}}, "env valueFrom fileKeyRef is not supported"),
    ],
)
def test_missing_values_are_named(value_from: Obj, message: str) -> None:
    with pytest.raises(StartFailure) as caught:
        env_of({"name": "c", "env": [{"name": "A", "valueFrom": value_from}]}, {(CONFIG_MAPS, "m"): {}})
    assert str(caught.value) == message
    assert caught.value.reason == "CreateContainerConfigError"


def test_optional_values_are_left_out() -> None:
    value_from = {"configMapKeyRef": {"name": "m", "key": "k", "optional": True}}
    assert env_of({"name": "c", "env": [{"name": "A", "valueFrom": value_from}]}) == {}


@pytest.mark.parametrize(
    ("value_from", "value"),
    [
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "web"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.244.0.9"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "10.244.0.1"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "1"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}, "250"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "8192"),
        ({"resourceFieldRef": {"resource": "requests.memory"}}, "0"),
    ],
)
def test_downward_values(value_from: Obj, value: str) -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": "250m"}}, "env": [{"name": "A", "valueFrom": value_from}]}
    assert env_of(container) == {"A": value}


def test_service_variables() -> None:
    def service(name: str, namespace: str, address: str, *ports: Obj) -> Obj:
        return {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": address, "ports": list(ports)},
        }

    services = [
        service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443}),
        service("my-cart", "shop", "10.96.0.7", {"name": "web", "port": 80, "protocol": "TCP"}, {"port": 81}),
        service("headless", "shop", "None", {"port": 1}),
        service("other", "elsewhere", "10.96.0.8", {"port": 1}),
    ]
    found = service_variables(services, "shop", links=True)
    assert found["MY_CART_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_CART_SERVICE_PORT"] == "80"
    assert found["MY_CART_SERVICE_PORT_WEB"] == "80"
    assert found["MY_CART_PORT"] == found["MY_CART_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert found["MY_CART_PORT_81_TCP_ADDR"] == "10.96.0.7"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)
    assert {name.partition("_")[0] for name in service_variables(services, "shop", links=False)} == {"KUBERNETES"}


def test_expand_keeps_what_it_does_not_know() -> None:
    assert expand("$(A) $(B) $$(A) $A ${A} $(", {"A": "1"}) == "1 $(B) $(A) $A ${A} $("


def image(**config: object) -> Image:
    return Image("sha256:abc", ("reg:5000/app:1",), RootFS(), 1, config, "sha256:def")


def test_commands_and_arguments_replace_the_image_s() -> None:
    full = image(Entrypoint=["run"], Cmd=["serve"])
    assert command_of({}, full, {}) == ["run", "serve"]
    assert command_of({"args": ["$(X)"]}, full, {"X": "1"}) == ["run", "1"]
    assert command_of({"command": ["sh"]}, full, {}) == ["sh"]
    with pytest.raises(StartFailure, match="no command specified"):
        command_of({}, image(), {})
    assert image_reference(full) == "reg:5000/app@sha256:def"


def test_security_contexts_merge_container_over_pod_over_image() -> None:
    spec = {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000]}
    container = {
        "name": "c",
        "securityContext": {"runAsUser": 7, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    who = identity(pod(container, securityContext=spec), container, image(User="9"))
    assert (who.uid, who.gid, who.groups) == (7, 2000, (4000, 3000))
    assert who.no_new_privileges
    assert who.drop_capabilities == ("ALL",)
    assert identity(pod({"name": "c"}), {"name": "c"}, image(User="9:8")).gid == 8


def test_image_users_by_name(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:10:20::/home/app:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("app:x:20:\naudio:x:29:app\n")
    named = Image("i", ("a:1",), RootFS((tmp_path,)), 1, {"User": "app"})
    who = identity(pod({"name": "c"}), {"name": "c"}, named)
    assert (who.uid, who.gid, who.groups, who.home) == (10, 20, (29,), "/home/app")
    missing = Image("i", ("a:1",), RootFS((tmp_path,)), 1, {"User": "nobody"})
    with pytest.raises(StartFailure, match="unable to find user nobody: no matching entries in passwd file"):
        identity(pod({"name": "c"}), {"name": "c"}, missing)


@pytest.mark.parametrize(
    ("context", "user", "message"),
    [
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "app", "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"),
    ],
)
def test_run_as_non_root(context: Obj, user: str, message: str) -> None:
    container = {"name": "c", "securityContext": {"runAsNonRoot": True, **context}}
    with pytest.raises(StartFailure) as caught:
        identity(pod(container), container, image(User=user))
    assert str(caught.value) == f'{message} (pod: "web_shop(u1)", container: c)'


def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig("node", tmp_path / "pods", tmp_path / "logs", tmp_path / "socket")


def test_hosts_file(tmp_path: Path) -> None:
    one = pod(hostname="web-0", subdomain="web", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = etc_files.hosts_text(one, "10.244.0.5", config(tmp_path))
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.244.0.5\tweb-0.web.shop.svc.cluster.local\tweb-0\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_a_pod_whose_sandbox_is_made_anew_finds_itself(tmp_path: Path) -> None:
    before = etc_files.write(pod(), "10.244.0.5", config(tmp_path)).hosts
    inode = before.stat().st_ino
    after = etc_files.write(pod(), "10.244.0.6", config(tmp_path)).hosts
    assert (after, after.stat().st_ino) == (before, inode), "containers that run have it mounted"
    assert "10.244.0.6\tweb\n" in after.read_text()
    assert "10.244.0.5" not in after.read_text()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {},
            "search shop.svc.cluster.local svc.cluster.local cluster.local home\nnameserver 10.96.0.10\noptions ndots:5\n",
        ),
        ({"dnsPolicy": "Default"}, "search home\nnameserver 10.96.0.10\noptions rotate\n"),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, "nameserver 1.1.1.1\n"),
        (
            {"dnsConfig": {"searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}},
            (
                "search shop.svc.cluster.local svc.cluster.local cluster.local home x\n"
                "nameserver 10.96.0.10\noptions ndots:2 edns0\n"
            ),
        ),
    ],
)
def test_resolv_conf(spec: Obj, text: str, tmp_path: Path) -> None:
    node_text = "nameserver 127.0.0.53\nsearch home # mine\noptions rotate\n"
    assert etc_files.resolv_conf_text(pod(**spec), config(tmp_path), node_text) == text


def container_with(requests: Obj | None = None, limits: Obj | None = None) -> Obj:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": "c", "resources": resources}


def test_quality_of_service() -> None:
    assert qos_class(pod(container_with())) == "BestEffort"
    assert qos_class(pod(container_with({"cpu": "1"}))) == "Burstable"
    full = {"cpu": "1", "memory": "1Gi"}
    assert qos_class(pod(container_with(full, full))) == "Guaranteed"
    assert qos_class(pod(container_with(full, full), container_with())) == "Burstable"


def test_resources() -> None:
    one = container_with({"cpu": "100m"}, {"cpu": "1500m", "memory": "64Mi"})
    found = container_resources(one)
    assert (found.cpu_request, found.cpu_limit, found.memory_limit) == (100, 1500, 64 << 20)
    assert pod_resources(pod(one, one)).memory_limit == 128 << 20
    assert pod_resources(pod(one, container_with())).memory_limit is None


def test_what_is_not_enforced_is_named() -> None:
    one = {
        **container_with(limits={"memory": "1Mi"}),
        "securityContext": {"runAsUser": 5, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    found = not_enforced(pod(one), {"limits": "no cgroup is writable", "users": "one uid only"})
    assert found == [
        "containers[c].resources.limits: no cgroup is writable",
        "containers[c].securityContext.runAsUser: one uid only",
        "containers[c].securityContext.seccompProfile: no seccomp profile is loaded",
    ]
    assert not_enforced(pod(container_with(limits={"memory": "1Mi"})), {"limits": "", "users": ""}) == []
    rises = pod({**container_with(), "securityContext": {"allowPrivilegeEscalation": True}})
    assert not_enforced(rises, {"escalation": ""}) == []
    assert not_enforced(rises, {"escalation": "none may"}) == [
        "containers[c].securityContext.allowPrivilegeEscalation: none may"
    ]
    asks = pod(container_with())
    asks["spec"].update(hostUsers=False, resourceClaims=[{"name": "gpu"}], runtimeClassName="vm")
    assert not_enforced(asks, {}) == [
        "hostUsers: the pod gets no user namespace of its own",
        "resourceClaims: no device is given (gpu)",
        "runtimeClassName: there is one runtime, the handler of vm is not used",
    ]


def test_pull_policies_and_secrets() -> None:
    assert [default_pull_policy(name) for name in ("a", "a:latest", "a:1", "h:5000/a", "a@sha256:0")] == [
        "Always",
        "Always",
        "IfNotPresent",
        "Always",
        "IfNotPresent",
    ]
    auth = base64.b64encode(b"me:pw").decode()
    text = base64.b64encode(f'{{"auths": {{"https://reg.local/v1/": {{"auth": "{auth}"}}}}}}'.encode()).decode()
    found = registry_auths({"data": {".dockerconfigjson": text}})
    assert (found["reg.local"].username, found["reg.local"].password) == ("me", "pw")
    assert registry_auths({"data": {".dockerconfigjson": "bm8="}}) == {}
