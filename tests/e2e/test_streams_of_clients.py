"""kr8s and lightkube, unmodified, with real pods: logs, exec over WebSocket with input and exit codes, forwarded ports."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kubectl import Kubectl
from manifests import pod, web
from wherry_system import free_port

pytestmark = pytest.mark.usefixtures("sockets_left")
COMMAND = ["sh", "-c", "cat; echo err >&2; exit 3"]
LARGE = "0123456789abcdef" * 20_000
"""More than a frame or a socket buffer holds."""


def kubeconfig(kubectl: Kubectl) -> Path:
    return Path(kubectl.system.kubeconfig)


@pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported:UserWarning")
async def test_kr8s(kubectl: Kubectl) -> None:
    kr8s = pytest.importorskip("kr8s", reason="kr8s is not installed")
    kubectl.apply(pod("web", web("web")))
    kubectl.ready("web")
    where = {"kubeconfig": str(kubeconfig(kubectl)), "context": kubectl.system.context, "namespace": kubectl.namespace}
    api = await kr8s.asyncio.api(**where)
    try:
        found = await kr8s.asyncio.objects.Pod.get("web", api=api)
        assert await found.ready()
        done = await found.exec(COMMAND, stdin=None, check=False)
        assert (done.stdout, done.stderr, done.returncode) == (b"", b"err\n", 3)
        large = await found.exec(["sh", "-c", "for i in $(seq 20000); do printf 0123456789abcdef; done"])
        assert large.stdout.decode() == LARGE
        async with found.portforward(8080, local_port=free_port()) as port:  # its own choice may be taken
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
        assert answer.endswith(b"web web\n")
        assert [line async for line in found.logs(tail_lines=1)]
    finally:
        await api._session.aclose()


def test_lightkube(kubectl: Kubectl) -> None:
    lightkube: Any = pytest.importorskip("lightkube", reason="lightkube is not installed")
    from httpx2.websockets import WebSocketUpgradeError
    from lightkube.resources.core_v1 import Pod

    kubectl.apply(pod("web", web("web")))
    kubectl.ready("web")
    config = lightkube.KubeConfig.from_file(kubeconfig(kubectl)).get(kubectl.system.context)
    with lightkube.Client(config, namespace=kubectl.namespace) as client:
        client.wait(Pod, "web", for_conditions=["Ready"])
        done = client.exec("web", command=COMMAND, stdin="in\n", stdout=True, stderr=True, timeout=60)
        assert (done.stdout, done.stderr, done.exit_code) == ("in\n", "err\n", 3)
        large = client.exec("web", command=["cat"], stdin=LARGE, stdout=True, timeout=60)
        assert large.stdout == LARGE
        with pytest.raises(WebSocketUpgradeError) as missing:
            client.exec("nobody", command=["true"], stdout=True, timeout=60)
        assert missing.value.response.status_code == 404
        assert list(client.log("web", tail_lines=1))
