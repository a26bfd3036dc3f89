"""Routes of everything that streams: containerLogs, exec, attach, portForward.

Answers before a stream begins are kubelet's: 404 for an unknown pod or container, 400 for a log that cannot be shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus, RuntimeFailure
from wherry.kubelet import pod_spec
from wherry.kubelet.observation import is_running
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_workers import PodWorkers
from wherry.kubelet.streaming import hijack, port_forward, remotes
from wherry.kubelet.streaming.channels import PROTOCOLS, internal_error
from wherry.kubelet.streaming.log_lines import Options, is_set
from wherry.kubelet.streaming.logs import read_log
from wherry.kubelet.streaming.remote_command import Remote, Wanted, serve
from wherry.kubelet.streaming.spdy_connection import SpdyConnection

SPDY = "SPDY/3.1"
SPDY_COMMAND_PROTOCOL = "v4.channel.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
FORWARD_PROTOCOL = "portforward.k8s.io"
MESSAGE_BYTES_MAX = 4 << 20  # clients send 32 KiB at a time
LINGER_SECONDS = 2.0  # for a client to read the last frames and close; kubectl needs milliseconds


class StreamingHandlers:
    def __init__(self, parts: Parts, workers: PodWorkers) -> None:
        self._parts = parts
        self._workers = workers

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for path in ("/exec/{namespace}/{pod}/{container}", "/attach/{namespace}/{pod}/{container}"):
            app.router.add_get(path, self._command)
            app.router.add_post(path, self._command)
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        app.router.add_post("/portForward/{namespace}/{pod}", self._forward)

    # --- logs ----------------------------------------------------------------------------------------------------

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        name = request.match_info["container"]
        if pod_spec.find_container(pod, name) is None:
            raise web.HTTPNotFound(text=f'container "{name}" not found in pod "{pod_spec.name_of(pod)}"')
        path, container_id = self._log_file(pod, name, previous=is_set(request.query, "previous"))
        options = self._log_options(request)
        pleg = self._parts.pleg

        def is_over() -> bool:
            return not is_running(pleg.container(container_id))

        def on_end(poke: Callable[[], None]) -> Callable[[], None]:
            return pleg.on_container_change(container_id, poke)

        return await _stream(request, read_log(path, options, is_over, on_end))

    def _log_file(self, pod: Obj, name: str, *, previous: bool) -> tuple[Path, str]:
        """The log of the attempt that is meant, and the id of its container (empty when the runtime has forgotten it)."""
        found = self._parts.pleg.pod(pod_spec.uid_of(pod)).containers.get(name, ())
        directory = self._parts.config.log_directory(
            pod_spec.namespace_of(pod), pod_spec.name_of(pod), pod_spec.uid_of(pod)
        )
        recorded = pod_spec.container_status(pod, name) or {}
        begun = [each for each in found if each.started_at or each.finished_at]
        attempt = begun[0].config.attempt if begun else recorded.get("restartCount", 0)
        is_waiting = not begun or not is_running(begun[0])
        if previous and not (is_waiting and "waiting" in (recorded.get("state") or {})):
            attempt -= 1  # a container that waits to be started again is its own previous one
        path = directory / name / f"{attempt}.log"
        container_id = next((each.id for each in begun if each.config.attempt == attempt), "")
        if container_id or (attempt >= 0 and path.exists()):
            return path, container_id
        where = f'container "{name}" in pod "{pod_spec.name_of(pod)}"'
        if previous:
            raise web.HTTPBadRequest(text=f"previous terminated {where} not found")
        reason = ((recorded.get("state") or {}).get("waiting") or {}).get("reason") or "ContainerCreating"
        raise web.HTTPBadRequest(text=f"{where} is waiting to start: {_WAITING_TEXTS.get(reason, reason)}")

    def _log_options(self, request: web.Request) -> Options:
        try:
            return Options.of(request.query, self._parts.clock.time())
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"invalid log options: {error}") from error

    # --- exec and attach -----------------------------------------------------------------------------------------

    async def _command(self, request: web.Request) -> web.StreamResponse:
        pod, name = self._pod(request), request.match_info["container"]
        container = self._parts.pleg.pod(pod_spec.uid_of(pod)).latest(name)
        if container is None or not is_running(container):
            raise web.HTTPNotFound(text=f'container not found ("{name}")')
        wanted = Wanted.of(request.query)
        is_exec = request.path.startswith("/exec/")
        command = request.query.getall("command", []) if is_exec else []
        spec = pod_spec.find_container(pod, name) or {}
        if not is_exec and spec.get("tty"):
            wanted = Wanted(wanted.stdin and bool(spec.get("stdin")), True, False, True)
        if _is_spdy(request):
            return await self._spdy_command(request, container, wanted, command, is_exec=is_exec)
        websocket = web.WebSocketResponse(protocols=PROTOCOLS, compress=False, max_msg_size=MESSAGE_BYTES_MAX)
        if not websocket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="Upgrade request required")
        await websocket.prepare(request)
        remote = remotes.WebSocketRemote(websocket)
        await self._run_command(remote, container, wanted, command, is_exec=is_exec)
        await websocket.close()
        return websocket

    async def _spdy_command(
        self, request: web.Request, container: ContainerStatus, wanted: Wanted, command: list[str], *, is_exec: bool
    ) -> web.StreamResponse:
        offered = [
            each.strip()
            for value in request.headers.getall("X-Stream-Protocol-Version", [])
            for each in value.split(",")
        ]
        if SPDY_COMMAND_PROTOCOL not in offered:
            raise web.HTTPForbidden(
                text=f"unable to upgrade: offered protocols {offered}, need {SPDY_COMMAND_PROTOCOL}"
            )
        raw = hijack.take_over(request, _spdy_headers(SPDY_COMMAND_PROTOCOL))
        connection = SpdyConnection(aiter(raw), raw.write)
        running = asyncio.create_task(_until_gone(connection), name="spdy connection")
        try:
            remote = await remotes.SpdyRemote.accept(connection, wanted)
            if remote is not None:
                leaving = asyncio.create_task(_tell_gone(running, remote))
                try:
                    await self._run_command(remote, container, wanted, command, is_exec=is_exec)
                    await asyncio.wait((running,), timeout=LINGER_SECONDS)
                finally:
                    leaving.cancel()
                    remote.close()
        finally:
            running.cancel()
            raw.close()
        return hijack.Taken()

    async def _run_command(
        self, remote: Remote, container: ContainerStatus, wanted: Wanted, command: list[str], *, is_exec: bool
    ) -> None:
        runtime = self._parts.runtime
        try:
            if is_exec:
                session = await runtime.exec(container.id, command, tty=wanted.tty, stdin=wanted.stdin)
            else:
                session = await runtime.attach(container.id, tty=wanted.tty, stdin=wanted.stdin)
        except (RuntimeFailure, ConnectionError) as failure:
            verb = "executing command in" if is_exec else "attaching to"
            with contextlib.suppress(ConnectionError):
                await remote.finish(internal_error(f"error {verb} container: {failure}"))
            return
        await serve(session, remote, wanted, report_exit=is_exec)

    # --- port-forward --------------------------------------------------------------------------------------------

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        sandbox = self._parts.pleg.pod(pod_spec.uid_of(pod)).ready_sandbox
        if sandbox is None:
            raise web.HTTPNotFound(text=f'sandbox of pod "{pod_spec.name_of(pod)}" not found')

        async def dial(port: int) -> socket.socket:
            return await self._parts.runtime.dial(sandbox.id, port)

        if _is_spdy(request):
            raw = hijack.take_over(request, _spdy_headers(FORWARD_PROTOCOL))
            try:
                await port_forward.serve_spdy(SpdyConnection(aiter(raw), raw.write), dial)
            finally:
                raw.close()
            return hijack.Taken()
        protocols = (TUNNEL_PROTOCOL, "v4.channel.k8s.io", FORWARD_PROTOCOL, "v4.base64.channel.k8s.io")
        websocket = web.WebSocketResponse(protocols=protocols, compress=False, max_msg_size=MESSAGE_BYTES_MAX)
        if not websocket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="Upgrade request required")
        ports = _ports(request)
        await websocket.prepare(request)
        if websocket.ws_protocol == TUNNEL_PROTOCOL:
            connection = SpdyConnection(remotes.messages(websocket), websocket.send_bytes)
            await port_forward.serve_spdy(connection, dial)
        else:
            await port_forward.serve_channels(websocket, ports, dial)
        await websocket.close()
        return websocket

    def _pod(self, request: web.Request) -> Obj:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        pod = self._workers.find(namespace, name)
        if pod is None:
            raise web.HTTPNotFound(text=f'pod "{name}" not found in namespace "{namespace}"')
        return pod


_WAITING_TEXTS = {
    "ImagePullBackOff": "trying and failing to pull image",
    "ErrImagePull": "image can't be pulled",
}
"""What kubelet says instead of the waiting reason."""


async def _stream(request: web.Request, output: AsyncIterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        async for piece in output:
            await response.write(piece)
        await response.write_eof()
    return response


async def _until_gone(connection: SpdyConnection) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.run()


async def _tell_gone(running: asyncio.Task[None], remote: remotes.SpdyRemote) -> None:
    await asyncio.wait((running,))
    await remote.gone()


def _is_spdy(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == SPDY.lower()


def _spdy_headers(protocol: str) -> dict[str, str]:
    return {"Upgrade": SPDY, "Connection": "Upgrade", "X-Stream-Protocol-Version": protocol}


def _ports(request: web.Request) -> list[int]:
    given = [*request.query.getall("port", []), *request.query.getall("ports", [])]
    numbers = [text for value in given for text in value.split(",") if text]
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in numbers):
        raise web.HTTPBadRequest(text=f"invalid ports: {', '.join(numbers)}")
    return [int(text) for text in numbers]
