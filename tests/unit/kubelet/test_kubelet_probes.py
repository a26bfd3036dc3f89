"""Probes and hooks in virtual time: when they are asked, what they decide, what they say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from kubelet_runtime import Behaviour, http_server
from kubelet_world import Scenario, World

from wherry.aio.virtual import run_virtual
from wherry.cri.interface import ExecResult
from wherry.kubelet.prober import _Pace
from wherry.kubelet.probes import grpc, http

HTTP = {"httpGet": {"port": 80, "path": "/healthz"}}


def test_a_pod_is_ready_soon_after_its_server_listens(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("web", {"name": "app", "readinessProbe": {**HTTP, "periodSeconds": 10}})
            await world.wait(0.3)
            assert not world.is_ready()
            assert world.condition("Ready")["message"] == "containers with unready status: [app]"
            world.runtime.servers[80] = http_server(lambda: 200)
            assert await world.until(world.is_ready) < 0.2
            assert "Unhealthy" not in world.events.reasons()  # early tries are nobody's failure

    play(scenario)


def test_initial_delay_is_kept(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.servers[80] = http_server(lambda: 200)
        async with world.running():
            await world.create("web", {"name": "app", "readinessProbe": {**HTTP, "initialDelaySeconds": 5}})
            assert 4.9 < await world.until(world.is_ready) < 5.3

    play(scenario)


def test_readiness_goes_after_three_failures_and_comes_back(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        answer = [200]
        world.runtime.servers[80] = http_server(lambda: answer[0])
        async with world.running():
            await world.create("web", {"name": "app", "readinessProbe": {**HTTP, "periodSeconds": 2}})
            await world.until(world.is_ready)
            answer[0] = 500
            took = await world.until(lambda: not world.is_ready())
            assert 4 <= took <= 6.1
            expected = "Readiness probe failed: HTTP probe failed with statuscode: 500"
            assert world.events.messages("Unhealthy") == [expected] * 3
            answer[0] = 302  # without a Location: below 400 is healthy
            assert await world.until(world.is_ready) <= 2.1
            assert world.runtime.names_started() == ["app"]

    play(scenario)


def test_liveness_failure_restarts_the_container(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.exec_results["check"] = ExecResult(b"not well\n", b"", 1)
        async with world.running():
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 5, "terminationGracePeriodSeconds": 7}
            await world.create("web", {"name": "app", "livenessProbe": probe})
            await world.until(lambda: world.container()["restartCount"] == 1)
            assert 10 <= world.clock.monotonic() < 11
            assert world.events.messages("Unhealthy")[:3] == ["Liveness probe failed: not well\n"] * 3
            assert world.events.messages("Killing") == ["Container app failed liveness probe, will be restarted"]
            assert world.runtime.said("stop") == ["app 7"]

    play(scenario)


def test_startup_probe_holds_back_the_others(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.exec_results |= {"started": ExecResult(b"", b"", 1), "alive": ExecResult(b"", b"", 0)}
        async with world.running():
            await world.create(
                "web",
                {
                    "name": "app",
                    "startupProbe": {"exec": {"command": ["started"]}, "periodSeconds": 1, "failureThreshold": 30},
                    "livenessProbe": {"exec": {"command": ["alive"]}},
                },
            )
            await world.wait(10)
            assert world.container()["started"] is False
            assert "alive" not in world.runtime.said("exec")
            world.runtime.exec_results["started"] = ExecResult(b"", b"", 0)
            await world.until(world.is_ready, 2)
            await world.wait(0.1)
            assert "alive" in world.runtime.said("exec")

    play(scenario)


def test_a_startup_probe_that_never_succeeds_restarts(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            probe = {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 3}
            ports = [{"name": "web", "containerPort": 80}]
            await world.create("web", {"name": "app", "startupProbe": probe, "ports": ports})
            await world.until(lambda: world.container()["restartCount"] == 1)
            assert world.events.messages("Killing") == ["Container app failed startup probe, will be restarted"]
            text = "Startup probe failed: dial tcp 10.244.0.5:80: connect: connection refused"
            assert world.events.messages("Unhealthy")[0] == text

    play(scenario)


def test_a_probe_that_hangs_times_out(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async def hang(connection: socket.socket) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                connection.close()

        world.runtime.servers[80] = hang
        async with world.running():
            await world.create("web", {"name": "app", "livenessProbe": {**HTTP, "timeoutSeconds": 2}})
            await world.until(lambda: bool(world.events.messages("Unhealthy")))
            text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            assert world.events.messages("Unhealthy")[0] == (
                f'Liveness probe failed: Get "http://10.244.0.5:80/healthz": {text}'
            )

    play(scenario)


def test_pre_stop_runs_before_the_signal_and_within_the_grace_period(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(term_seconds=100)]
        async with world.running():
            hook = {"preStop": {"sleep": {"seconds": 4}}}
            await world.create("web", {"name": "app", "lifecycle": hook}, terminationGracePeriodSeconds=10)
            await world.until(world.is_ready)
            await world.delete()
            took = await world.until(lambda: world.stored() is None)
            assert 10 <= took < 10.3
            assert world.runtime.said("stop") == ["app 6"]

    play(scenario)


def test_a_failing_post_start_hook_ends_the_container(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.exec_results["hook"] = ExecResult(b"", b"no such queue", 3)
        async with world.running():
            await world.create("web", {"name": "app", "lifecycle": {"postStart": {"exec": {"command": ["hook"]}}}})
            await world.until(lambda: bool(world.events.messages("FailedPostStartHook")))
            text = "PostStartHook failed: command 'hook' exited with 3: no such queue"
            assert world.events.messages("FailedPostStartHook")[0] == text
            world.runtime.exec_results["hook"] = ExecResult(b"", b"", 0)
            await world.until(world.is_ready)

    play(scenario)


def test_a_hook_that_reaches_nobody_says_whom(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            handler = {"httpGet": {"path": "/bye", "port": 81}}
            await world.create("web", {"name": "app", "lifecycle": {"postStart": handler}})
            await world.until(lambda: bool(world.events.messages("FailedPostStartHook")))
            text = 'PostStartHook failed: Get "http://10.244.0.5:81/bye": dial tcp 10.244.0.5:81: connect: '
            assert world.events.messages("FailedPostStartHook")[0].startswith(text)

    play(scenario)


def test_tcp_hooks_are_refused(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("web", {"name": "app", "lifecycle": {"postStart": {"tcpSocket": {"port": 1}}}})
            await world.until(lambda: bool(world.events.messages("FailedPostStartHook")))
            assert "tcpSocket is not supported" in world.events.messages("FailedPostStartHook")[0]

    play(scenario)


def test_early_tries_grow_apart_and_counted_ones_keep_the_period() -> None:
    pace, now, counted = _Pace("readiness", {"periodSeconds": 2}, 0.0, eager=True), 0.0, []
    for _ in range(40):
        if pace.begins_period(now):
            counted.append(round(now, 3))
        now += pace.pause(now)
    assert counted[:3] == [2.0, 4.0, 6.0]


def _dial_to(serve: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> tuple[http.Dial, list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []

    async def dial(host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        tasks.append(asyncio.ensure_future(serve(theirs)))
        return ours

    return dial, tasks


def test_http_headers_and_redirects() -> None:
    asked: list[str] = []

    async def serve(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        if head.startswith("GET /old "):
            writer.write(b"HTTP/1.1 301 Moved\r\nLocation: /new?a=1\r\nContent-Length: 0\r\n\r\n")
        elif head.startswith("GET /away "):
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 3\r\n\r\nbye")
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        dial, _ = _dial_to(serve)
        headers = [{"name": "X-A", "value": "1"}, {"name": "Host", "value": "shop"}, {"name": "Accept", "value": ""}]
        outcome = await http.probe(dial, "http://10.0.0.1:80/old", headers, "kube-probe/1.36")
        assert outcome.ok
        assert asked[1].startswith("GET /new?a=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: kube-probe/1.36\r\nX-A: 1\r\n")
        assert "Accept" not in asked[1]
        outcome = await http.probe(dial, "http://10.0.0.1:80/away", [], "x")
        assert outcome.ok
        assert outcome.output == "Probe terminated redirects, Response body: bye"

    run_virtual(main())


@pytest.mark.parametrize(
    ("status", "trailer", "ok", "output"),
    [
        (1, "0", True, "service healthy"),
        (2, "0", False, 'service unhealthy (responded with "NOT_SERVING")'),
        (1, "12", False, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "),
    ],
)
def test_grpc_health(status: int, trailer: str, ok: bool, output: str) -> None:
    requests: list[bytes] = []

    async def serve(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65536):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    requests.append(event.data or b"")
                if isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    server.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
                    server.send_data(stream, grpc.frame(bytes([8, status])))
                    server.send_headers(stream, [("grpc-status", trailer)], end_stream=True)
            writer.write(server.data_to_send())
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        dial, serving = _dial_to(serve)
        outcome = await grpc.probe(dial, "10.0.0.1", 50051, "shop.Cart", "kube-probe/1.36")
        assert (outcome.ok, outcome.output) == (ok, output)
        await asyncio.gather(*serving)
        assert requests == [b"\0\0\0\0\x0b\x0a\x09shop.Cart"]

    run_virtual(main())
