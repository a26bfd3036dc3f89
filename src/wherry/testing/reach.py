"""How programs and libraries reach a cluster that listens: kubeconfig files, kubectl, the official client."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wherry.api import yaml
from wherry.cluster.pki import Pki

KUBECTL_SECONDS = 120


class KubectlFailed(Exception):
    """kubectl ended with another code than 0; the text is what it said."""


def write_kubeconfig(path: Path, server: str, files: Pki, name: str = "wherry") -> Path:
    """One cluster, one user (the administrator), one context; complete in itself."""

    def encoded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {
        "client-certificate-data": encoded(files.certificate("admin")),
        "client-key-data": encoded(files.key("admin")),
    }
    cluster = {"server": server, "certificate-authority-data": encoded(files.ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.touch(0o600)
    path.write_text(yaml.dump(config))
    return path


@contextmanager
def default_cluster(kubeconfig: Path) -> Iterator[None]:
    """KUBECONFIG and USE_EXISTING_CLUSTER of this process and of those it starts; the official client, if it is imported
    already, has read the first and is told again."""
    names = {"KUBECONFIG": str(kubeconfig), "USE_EXISTING_CLUSTER": "true"}
    before = {name: os.environ.get(name) for name in names}
    module = sys.modules.get("kubernetes.config.kube_config")
    location = getattr(module, "KUBE_CONFIG_DEFAULT_LOCATION", None)
    os.environ.update(names)
    if module is not None:
        module.KUBE_CONFIG_DEFAULT_LOCATION = str(kubeconfig)  # type: ignore[attr-defined]  # a module, seen from outside
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        late = sys.modules.get("kubernetes.config.kube_config")
        if late is not None:  # whoever imported it meanwhile saw our file
            late.KUBE_CONFIG_DEFAULT_LOCATION = location or before["KUBECONFIG"] or "~/.kube/config"  # type: ignore[attr-defined]


def kubectl(kubeconfig: Path, arguments: tuple[str, ...], stdin: str | None, check: bool) -> str:
    """What kubectl prints. Raises KubectlFailed, and FileNotFoundError where there is none."""
    program = shutil.which("kubectl")
    if program is None:
        raise FileNotFoundError("there is no kubectl on PATH")
    done = subprocess.run(
        [program, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        timeout=KUBECTL_SECONDS,
    )
    if check and done.returncode != 0:
        raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubernetes_client(kubeconfig: Path) -> Any:
    """`kubernetes.client.ApiClient`. Raises ModuleNotFoundError with what to install."""
    try:
        from kubernetes import config
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the official client is not installed: pip install kubernetes") from error
    return config.new_client_from_config(config_file=str(kubeconfig))  # type: ignore[no-untyped-call]
