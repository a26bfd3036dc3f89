"""How programs and libraries reach a cluster that listens: kubeconfig files, kubectl, the official client."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
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
