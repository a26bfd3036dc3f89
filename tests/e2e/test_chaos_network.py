"""Latency and loss between the services of a small application: made by the command and by the fixture, and undone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from wherry_system import until

from wherry.chaos.faults import LEASE_SECONDS
from wherry.cluster import processes
from wherry.cluster.paths import State
from wherry.testing.system import System, unavailable

END = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
"""
SERVE = f"""{END}
import socket, threading
def talk(client):
    with client:
        while data := client.recv(100):
            client.sendall(data)
server = socket.create_server(("0.0.0.0", 8080))
while True:
    threading.Thread(target=talk, args=server.accept()[:1], daemon=True).start()
"""
ASK = f"""{END}
import socket, time
while True:
    began = time.monotonic()
    try:
        with socket.create_connection((os.environ["WEB_SERVICE_HOST"], 80), timeout=1.5) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            print("took", round((time.monotonic() - began) * 1000), flush=True)
    except OSError as error:
        print("failed", error, flush=True)
    time.sleep(0.05)
"""
DELAY = ("network", "--from", "app=client", "--to", "service/web", "--delay", "200ms")


def deployment(name: str, program: str) -> dict[str, Any]:
    container = {"name": "main", "image": "wherry.dev/host", "command": [sys.executable, "-c", program]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module", params=["namespaces", "proc"])
def shop(request: pytest.FixtureRequest) -> Iterator[System]:
    """A web and a client that asks it all the time."""
    proc = request.param == "proc"
    if not proc and (reason := unavailable()):
        pytest.skip(reason)
    with System(*(["--tier", "proc"] if proc else [])) as system:
        ports = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": ports}
        system.apply([service, deployment("web", SERVE), deployment("client", ASK)])
        for name in ("web", "client"):
            system.wait_for("deployment", name, "Available", timeout="60s")
        yield system


def last(system: System) -> tuple[str, int]:
    """What the client saw last: `took` and milliseconds, or `failed`."""
    (name,) = [pod["metadata"]["name"] for pod in system.list("pods", labels="app=client")]
    lines = system.logs(name).split("\n")
    word, _, number = lines[-2].partition(" ") if len(lines) > 1 else ("", "", "")
    return word, int(number) if word == "took" else 0


def is_slow(system: System) -> bool:
    """A connection and a request wait for 200 ms each."""
    word, milliseconds = last(system)
    return word == "took" and milliseconds >= 400


def is_quick(system: System) -> bool:
    word, milliseconds = last(system)
    return word == "took" and milliseconds < 400


def command(system: System, *arguments: str) -> list[str]:
    where = ["--state-dir", str(system.folder / "state")]
    return [sys.executable, "-u", "-m", "wherry", "chaos", arguments[0], *where, *arguments[1:]]


@contextmanager
def chaos(system: System, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`wherry chaos ...`, once it says that it is at work."""
    with subprocess.Popen(command(system, *arguments), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert "1 pods to 1" in run.stdout.readline()
        try:
            yield run
        finally:
            run.terminate()


def test_a_service_answers_late_as_long_as_the_command_runs(shop: System) -> None:
    until(lambda: is_quick(shop), "all is well")
    with chaos(shop, *DELAY, "--for", "1m") as run:
        until(lambda: is_slow(shop), "packets are held")
        listed = subprocess.run(command(shop, "list"), capture_output=True, text=True, check=True).stdout
        assert "namespace=default from=app=client to=service/web delay=0.2 1 pods to 1" in listed
        run.send_signal(signal.SIGINT)
        assert run.wait() == 0
        until(lambda: is_quick(shop), "and no longer")
    assert subprocess.run(command(shop, "list"), capture_output=True, text=True, check=True).stdout == ""


def test_it_is_undone_although_command_control_plane_and_agent_are_killed(shop: System) -> None:
    state = State(shop.folder / "state")
    with chaos(shop, *DELAY, "--for", "1h") as run:
        for role in ("control-plane", "node-agent"):
            process = processes.running(state.pid_file(role))
            assert process is not None
            process.signal(signal.SIGKILL)
        until(lambda: _answers(shop) and is_slow(shop), "it goes on without them")
        run.kill()
        run.wait()
        until(lambda: is_quick(shop), "its lease has run out", LEASE_SECONDS + 10)


def _answers(system: System) -> bool:
    try:
        return bool(system.list("pods"))
    except OSError:
        return False


def test_parted_pods_stay_parted_when_one_is_replaced(shop: System) -> None:
    with shop.chaos.network("app=client", "app=web", loss=1.0) as fault:
        assert [each.name for each in shop.chaos.active()] == [fault.name]
        until(lambda: last(shop)[0] == "failed", "nothing gets through")
        shop.delete("pod", shop.list("pods", labels="app=web")[0]["metadata"]["name"], grace_seconds=0)
        shop.wait_for("deployment", "web", "Available", timeout="60s")
        until(lambda: _replaced(shop) and last(shop)[0] == "failed", "the new one is meant too")
    until(lambda: last(shop)[0] == "took", "joined again")


def _replaced(system: System) -> bool:
    addresses = [pod["status"].get("podIP") for pod in system.list("pods", labels="app=web")]
    return any(list(each.ends["to"]) == addresses for each in system.chaos.active())


def test_a_service_that_is_not_there(shop: System) -> None:
    wrong = ("network", "--to", "service/none", "--loss", "10%")
    done = subprocess.run(command(shop, *wrong), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, 'wherry: services "none" not found in default\n')
