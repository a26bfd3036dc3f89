"""One try of any probe: chooses the kind, resolves the port, keeps the time."""

from __future__ import annotations

import asyncio
import socket

from msgspec import Struct

from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus, RuntimeFailure, RuntimeService
from wherry.kubelet.backoff import go_duration
from wherry.kubelet.failures import HookFailure
from wherry.kubelet.probes import http
from wherry.kubelet.probes.outcome import OUTPUT_BYTES_MAX, Outcome, dial_error, failure, success


class Target(Struct, frozen=True):
    """A running container and where it listens."""

    container: ContainerStatus
    spec: Obj
    address: str
    """The pod's address."""


class BadPort(Exception):
    """A probe's named port is not among the container's."""


def resolve_port(spec: Obj, port: object) -> int:
    """A number, or the name of one of the container's ports. Raises BadPort."""
    if isinstance(port, int) or (isinstance(port, str) and port.isdigit()):
        return int(port)
    for each in spec.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    raise BadPort(f"couldn't find port: {port}")


class Asker:
    """Probes containers over `RuntimeService.dial` and `exec_sync`; `agent` is the User-Agent."""

    def __init__(self, runtime: RuntimeService, agent: str) -> None:
        self._runtime = runtime
        self.agent = agent

    async def ask(self, probe: Obj, target: Target) -> Outcome:
        """Never raises for what the container does wrong; raises ConnectionError when the runtime is away."""
        seconds = float(probe.get("timeoutSeconds") or 1)
        try:
            if "exec" in probe:
                return await self._exec(probe["exec"].get("command") or [], target, seconds)
            async with asyncio.timeout(seconds):
                return await self._network(probe, target)
        except BadPort as error:
            return failure(str(error))
        except TimeoutError:
            return failure(self._timeout_text(probe, target, seconds))

    async def _network(self, probe: Obj, target: Target) -> Outcome:
        if "httpGet" in probe:
            url = http_url(probe["httpGet"], target)
            headers = probe["httpGet"].get("httpHeaders") or ()
            return await http.probe(self.dialer(target), url, headers, self.agent)
        if "grpc" in probe:
            from wherry.kubelet.probes import grpc  # HTTP/2 is a megabyte, and few probes want it

            service = probe["grpc"].get("service") or ""
            port = int(probe["grpc"]["port"])
            return await grpc.probe(self.dialer(target), target.address, port, service, self.agent)
        action = probe.get("tcpSocket") or {}
        host, port = action.get("host") or target.address, resolve_port(target.spec, action.get("port"))
        try:
            connection = await self.dialer(target)(host, port)
        except OSError as error:
            return failure(dial_error(host, port, error))
        connection.close()
        return success()

    async def _exec(self, command: list[str], target: Target, seconds: float) -> Outcome:
        try:
            result = await self._runtime.exec_sync(target.container.id, command, seconds)
        except TimeoutError:
            return failure(f'command timed out: "{" ".join(command)}" timed out after {go_duration(seconds)}')
        except RuntimeFailure as error:
            return failure(str(error))
        output = (result.stdout + result.stderr)[:OUTPUT_BYTES_MAX].decode(errors="replace")
        return success(output) if result.exit_code == 0 else failure(output)

    async def run(self, command: list[str], container: ContainerStatus, seconds: float) -> None:
        """Run a hook's command. Raises HookFailure with its exit code and output."""
        result = await self._runtime.exec_sync(container.id, command, seconds)
        if result.exit_code != 0:
            output = (result.stdout + result.stderr)[:OUTPUT_BYTES_MAX].decode(errors="replace").strip()
            raise HookFailure(f"command '{' '.join(command)}' exited with {result.exit_code}: {output}")

    def dialer(self, target: Target) -> http.Dial:
        """Connections as seen from inside the pod's network, to whatever address."""

        async def dial(host: str, port: int) -> socket.socket:
            try:
                return await self._runtime.dial(target.container.sandbox_id, port, host)
            except RuntimeFailure as error:
                raise ConnectionRefusedError(str(error)) from error

        return dial

    def _timeout_text(self, probe: Obj, target: Target, seconds: float) -> str:
        if "httpGet" in probe:
            url = http_url(probe["httpGet"], target)
            return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        if "grpc" in probe:
            where = f"{target.address}:{probe['grpc']['port']}"
            within = go_duration(seconds)
            return f'timeout: failed to connect service "{where}" within {within}: context deadline exceeded'
        action = probe.get("tcpSocket") or {}
        return f"dial tcp {action.get('host') or target.address}:{action.get('port')}: i/o timeout"


def http_url(action: Obj, target: Target) -> str:
    """`http://10.244.0.5:8080/healthz` of an httpGet action. Raises BadPort."""
    scheme = str(action.get("scheme") or "HTTP").lower()
    host = action.get("host") or target.address
    path = str(action.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    return f"{scheme}://{host}:{resolve_port(target.spec, action.get('port'))}{path}"
