"""What a container finds inside: environment from everywhere, every type of volume, users, working directories."""

from __future__ import annotations

import json
from pathlib import Path

from kubectl import Kubectl
from manifests import FOREVER, config_map, container, pod, secret, shell
from wherry_system import until


def test_environment_from_everywhere(kubectl: Kubectl) -> None:
    env = [
        {"name": "PLAIN", "value": "value"},
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "EXPANDED", "value": "$(PLAIN) and $(FROM_MAP) but $$(PLAIN) and $(NOTHING)"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "OPTIONAL", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a", "optional": True}}},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
    ]
    every = [{"configMapRef": {"name": "settings"}}, {"prefix": "SECRET_", "secretRef": {"name": "login"}}]
    resources = {"requests": {"cpu": "50m"}, "limits": {"memory": "64Mi"}}
    kubectl.apply(
        config_map("settings", colour="blue", SIZE="large"),
        secret("login", password="hidden"),
        pod("env", container(FOREVER, env=env, envFrom=every, resources=resources), labels={"app": "labelled"}),
    )
    kubectl.ready("env")
    found = dict(line.split("=", 1) for line in kubectl("exec", "env", "--", "env").splitlines())
    status = kubectl.json("pod", "env")["status"]
    expected = {
        "PLAIN": "value", "FROM_MAP": "blue", "EXPANDED": "value and blue but $(PLAIN) and $(NOTHING)",
        "FROM_SECRET": "hidden", "POD_NAME": "env", "POD_NAMESPACE": kubectl.namespace, "POD_IP": status["podIP"],
        "NODE": kubectl.json("pod", "env")["spec"]["nodeName"], "ACCOUNT": "default", "LABEL": "labelled", "LIMIT": "64",
        "CPU": "50", "colour": "blue", "SIZE": "large", "SECRET_password": "hidden", "HOSTNAME": "env",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443",
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    assert "OPTIONAL" not in found


def test_every_volume_type(kubectl: Kubectl, tmp_path: Path) -> None:
    volumes = [
        {"name": "map", "configMap": {"name": "settings", "items": [{"key": "colour", "path": "deep/colour.txt"}]}},
        {"name": "secret", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {"name": "empty", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {"name": "down", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
        ]}},
        {"name": "mixed", "projected": {"sources": [
            {"configMap": {"name": "settings"}},
            {"secret": {"name": "login", "items": [{"key": "password", "path": "secrets/password"}]}},
            {"serviceAccountToken": {"path": "token", "audience": "shop", "expirationSeconds": 600}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]}},
        {"name": "host", "hostPath": {"path": "/usr/share", "type": "Directory"}},
    ]  # fmt: skip
    mounts = [{"name": each["name"], "mountPath": f"/v/{each['name']}"} for each in volumes]
    mounts.append({"name": "map", "mountPath": "/etc/one-colour", "subPath": "deep/colour.txt"})
    mounts.append({"name": "empty", "mountPath": "/v/part", "subPath": "some/part"})
    next(each for each in mounts if each["name"] == "host")["readOnly"] = True
    kubectl.apply(
        config_map("settings", colour="blue", size="large"),
        secret("login", password="hidden"),
        pod(
            "volumes",
            container(FOREVER, volumeMounts=mounts, resources={"limits": {"cpu": "100m"}}),
            volumes=volumes,
            labels={"app": "volumes", "tier": "front"},
        ),
    )
    kubectl.ready("volumes")

    def inside(script: str) -> str:
        return kubectl("exec", "volumes", "--", "sh", "-c", script)

    assert inside("cat /v/map/deep/colour.txt /etc/one-colour") == "blueblue"
    assert inside("ls /v/map") == "deep\n"
    assert inside("cat /v/secret/password; stat -L -c %a /v/secret/password") == "hidden400\n"
    assert inside("echo x > /v/empty/file; echo y > /v/part/file; cat /v/empty/some/part/file") == "y\n"
    assert inside("stat -f -c %T /v/memory; df -m --output=size /v/memory | tail -1").split() == ["tmpfs", "8"]
    assert inside("cat /v/down/labels; echo; cat /v/down/cpu").split() == ['app="volumes"', 'tier="front"', "100"]
    assert inside("cat /v/mixed/size /v/mixed/secrets/password /v/mixed/name") == "largehiddenvolumes"
    assert len(inside("cat /v/mixed/token").split(".")) == 3
    assert "doc" in inside("ls /v/host").split()
    assert "Read-only file system" in kubectl.fails("exec", "volumes", "--", "touch", "/v/host/x")
    assert "Read-only file system" in kubectl.fails("exec", "volumes", "--", "touch", "/v/map/x")
    assert inside("cat /proc/self/mounts | grep -c ' /v/'").strip() == "8"


def test_changed_config_maps_and_secrets_appear_in_running_containers(kubectl: Kubectl) -> None:
    volumes = [
        {"name": "map", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "login"}},
    ]
    look = 'now=$(cat /map/colour /secret/password); [ "$now" = "$last" ] || echo now $now; last=$now; sleep 0.05'
    mounts = [{"name": "map", "mountPath": "/map"}, {"name": "secret", "mountPath": "/secret"}]
    kubectl.apply(
        config_map("settings", colour="blue-"),
        secret("login", password="old"),
        pod("live", container(shell(f"while :; do {look}; done"), volumeMounts=mounts), volumes=volumes),
    )
    kubectl.ready("live")
    with kubectl.start("logs", "-f", "live") as logs:
        logs.line("now blue-old")
        kubectl.apply(config_map("settings", colour="red-"), secret("login", password="new"))
        logs.line("now red-new")


def test_users_groups_and_read_only_roots(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "user",
            container(
                FOREVER,
                securityContext={"runAsUser": 1234, "runAsGroup": 2345, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                                 "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                volumeMounts=[{"name": "d", "mountPath": "/d"}],
                workingDir="/d",
            ),
            securityContext={"fsGroup": 3456},
            volumes=[{"name": "d", "emptyDir": {}}],
        )
    )  # fmt: skip
    kubectl.ready("user")
    assert kubectl("exec", "user", "--", "sh", "-c", "id -u; id -g; pwd").split() == ["1234", "2345", "/d"]
    assert kubectl("exec", "user", "--", "sh", "-c", "echo x > file && cat file") == "x\n"
    assert "Read-only file system" in kubectl.fails("exec", "user", "--", "touch", "/new")
    assert kubectl("exec", "user", "--", "grep", "NoNewPrivs", "/proc/self/status").split()[1] == "1"
    kubectl.apply(pod("root", container(FOREVER, securityContext={"runAsNonRoot": True, "runAsUser": 0})))
    until(lambda: "CreateContainerConfigError" in kubectl("get", "pod", "root"))


def test_host_names_and_dns_files(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "named",
            container(FOREVER),
            hostname="given",
            subdomain="group",
            hostAliases=[{"ip": "10.0.0.9", "hostnames": ["old.example"]}],
            dnsConfig={"searches": ["example.test"], "options": [{"name": "timeout", "value": "1"}]},
        ),
        pod("shares", container(FOREVER, "one"), container(FOREVER, "two"), shareProcessNamespace=True),
    )
    kubectl.ready("named", "shares")
    assert kubectl("exec", "named", "--", "hostname") == "given\n"
    hosts = kubectl("exec", "named", "--", "cat", "/etc/hosts")
    assert "10.0.0.9\told.example" in hosts
    assert f"given.group.{kubectl.namespace}.svc.cluster.local" in hosts
    resolv = kubectl("exec", "named", "--", "cat", "/etc/resolv.conf")
    assert f"search {kubectl.namespace}.svc.cluster.local svc.cluster.local cluster.local" in resolv
    assert "example.test" in resolv
    assert "nameserver 10.96.0.10" in resolv
    every = shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    # A shell that forks is there twice until the copy is another program.
    until(lambda: kubectl("exec", "shares", "-c", "one", "--", *every).count("trap") == 2, "a container sees the other")


def test_memory_limits_where_they_can_be_enforced(kubectl: Kubectl) -> None:
    """Without a cgroup the pod says so instead."""
    hog = ["python3", "-c", "x = bytearray(200 << 20); print('had it all')"]
    kubectl.apply(pod("hog", container(hog, resources={"limits": {"memory": "50Mi"}}), restartPolicy="Never"))
    until(lambda: kubectl.path_of("{.status.phase}", "pod/hog") in ("Failed", "Succeeded"))
    terminated = kubectl.json("pod", "hog")["status"]["containerStatuses"][0]["state"]["terminated"]
    if terminated["reason"] == "OOMKilled":
        assert terminated["exitCode"] == 137
    else:
        kubectl.event(r"Warning +\S*NotEnforced\S* +Pod +hog |Warning +\S+ +Pod +hog .*(limit|cgroup)")


def test_the_token_of_a_pod_is_bound_to_it(kubectl: Kubectl) -> None:
    kubectl.apply(pod("one", container(FOREVER)))
    kubectl.ready("one")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert kubectl("exec", "one", "--", "ls", folder).split() == ["ca.crt", "namespace", "token"]
    token = kubectl("exec", "one", "--", "cat", f"{folder}/token")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))["status"]
    assert answer["user"]["username"] == f"system:serviceaccount:{kubectl.namespace}:default"
    assert answer["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["one"]
