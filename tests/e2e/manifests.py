"""Objects the tests apply, as short as they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wherry_system import free_port

Obj = dict[str, Any]
IMAGE = "wherry.dev/host:v1"
PROGRAMS = Path(__file__).parent / "programs"


def program(name: str, *arguments: str) -> list[str]:
    """A command that runs one of the programs beside these tests in a pod."""
    return ["python3", "-u", "-c", (PROGRAMS / f"{name}.py").read_text(), *arguments]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


FOREVER = shell("trap 'exit 0' TERM; sleep infinity & wait")
"""Runs until it is asked to end, and ends at once then: a plain `sleep` as pid 1 does not hear SIGTERM."""


def container(command: list[str], name: str = "main", **fields: Any) -> Obj:
    return {"name": name, "image": IMAGE, "command": command, **fields}


def pod_spec(*containers: Obj, **fields: Any) -> Obj:
    """Pods of tests end at once unless a test says otherwise."""
    return {"terminationGracePeriodSeconds": 1, "containers": list(containers), **fields}


def pod(name: str, *containers: Obj, labels: Obj | None = None, annotations: Obj | None = None, **fields: Any) -> Obj:
    metadata: Obj = {"name": name, "labels": labels or {"app": name}}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(*containers, **fields)}


def deployment(name: str, *containers: Obj, replicas: int = 1, spec: Obj | None = None, **fields: Any) -> Obj:
    """`spec` is merged into the Deployment's, `fields` into the pod's."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(*containers, **fields)}
    own = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **(spec or {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": own}


def service(name: str, *ports: Obj, **fields: Any) -> Obj:
    spec = {"selector": {"app": name}, "ports": list(ports) or [{"port": 80, "targetPort": 8080}], **fields}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def node_port(name: str, port: int = 80) -> Obj:
    """A Service on a node port that is free on this machine: other systems run here and know nothing of each other's."""
    number = free_port(range(30000, 32768), "0.0.0.0")
    return service(name, {"port": port, "targetPort": 8080, "nodePort": number}, type="NodePort")


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def web(name: str = "web", **fields: Any) -> Obj:
    """A container that serves on 8080 and is ready once it does, and as long: a busy machine may take its time to answer."""
    probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5}
    return container(program("web", name), readinessProbe=probe, **fields)


def reaching(url: str) -> Obj:
    """An init container that ends once the URL answers pods: a Service leads to ready pods a moment after they are."""
    ask = "while True:\n try: r.urlopen(sys.argv[1], timeout=10).read(); break\n except OSError: time.sleep(0.05)"
    return container(["python3", "-c", f"import sys, time, urllib.request as r\n{ask}", url], "reach")
