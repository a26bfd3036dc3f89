"""Latency and loss between the services of a small application: made by the command, in every tier, and by the fixture."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubectl import Kubectl
from wherry_system import PATIENCE, WherrySystem, until

from wherry.chaos.faults import LEASE_SECONDS
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
import itertools, socket, time
for number in itertools.count(1):
    began = time.monotonic()
    try:
        with socket.create_connection((os.environ["WEB_SERVICE_HOST"], 80), timeout=1.5) as sock:
            sock.sendall(b"x")
            if sock.recv(1) != b"x":
                raise OSError("hung up")
            print(number, "took", round((time.monotonic() - began) * 1000), flush=True)
    except OSError as error:
        print(number, "failed", error, flush=True)
    time.sleep(0.05)
"""


def deployment(name: str, program: str) -> dict[str, Any]:
    container = {"name": "main", "image": "wherry.dev/host", "command": ["python3", "-c", program]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


WEB_PORTS = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": WEB_PORTS}
APPLICATION = [SERVICE, deployment("web", SERVE), deployment("client", ASK)]
"""A web, and a client that asks it all the time."""


def last(log: str) -> tuple[int, str, int]:
    """What the client saw last: the number of its request, `took` and milliseconds, or `failed`."""
    lines = [line for line in log.split("\n") if line]
    number, word, more = lines[-1].split(" ", 2) if lines else (0, "", "")
    return int(number), word, int(more) if word == "took" else 0


@contextmanager
def chaos(system: WherrySystem, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`wherry chaos network ...`, once it says that it is at work."""
    where = ["--name", system.name, "--state-dir", str(system.state)]
    command = [system.tier.python, "-u", "-m", "wherry", "chaos", "network", *where, *arguments]
    more: dict[str, Any] = {"cwd": "/", "env": system.environment(), **system.tier.run_as()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more) as run:
        assert run.stdout is not None
        assert "1 pods to 1" in run.stdout.readline()
        try:
            yield run
        finally:
            run.terminate()


def test_a_service_answers_late_whoever_is_killed_until_the_command_ends(
    system: WherrySystem, kubectl: Kubectl
) -> None:
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": APPLICATION}))
    kubectl("wait", "deployment", "--all", "--for=condition=Available", "--timeout=60s")

    def saw() -> tuple[int, str, int]:
        """Asked while the API may be away."""
        return last(kubectl.run("logs", "deployment/client", "--tail=1").stdout)

    def is_slow(after: int = 0) -> bool:
        """A connection and a request wait for 200 ms each. `after`: of a later request than that."""
        number, word, milliseconds = saw()
        return number > after and word == "took" and milliseconds >= 400

    def is_quick() -> bool:
        _, word, milliseconds = saw()
        return word == "took" and milliseconds < 400

    until(is_quick, "all is well")
    delay = ("-n", kubectl.namespace, "--from", "app=client", "--to", "service/web", "--delay", "200ms")
    with chaos(system, *delay, "--for", "10m") as run:
        until(is_slow, "packets are held")
        listed = system.wherry("chaos list").stdout
        assert f"namespace={kubectl.namespace} from=app=client to=service/web delay=0.2 1 pods to 1" in listed
        run.send_signal(signal.SIGINT)
        assert run.wait() == 0
        until(is_quick, "it is undone by Ctrl-C")
    with chaos(system, *delay, "--for", "1h") as run:
        for role in ("control-plane", "node-agent", "netd"):
            system.back(role, system.kill(role))
        now = until(lambda: saw()[0], "the API")
        until(lambda: is_slow(after=now + 1), "it goes on without them")
        run.kill()
        run.wait()
        until(lambda: not system.wherry("chaos list").stdout, "its lease has run out", LEASE_SECONDS + PATIENCE)
        until(is_quick, "and with it the fault")


def test_a_service_that_is_not_there(system: WherrySystem) -> None:
    done = system.wherry("chaos network", "--to", "service/none", "--loss", "100%", check=False)
    assert (done.returncode, done.stderr) == (1, 'wherry: services "none" not found in default\n')


def test_a_loss_of_some_packets_is_refused_where_there_are_no_packets(system: WherrySystem) -> None:
    done = system.wherry("chaos network", "--to", "app=none", "--loss", "3%", "--for", "1s", check=False)
    said = (done.returncode, done.stderr[:25])
    assert said == ((1, "wherry: in tier proc what") if system.tier.name == "proc" else (0, "")), done
    assert system.wherry("chaos list").stdout == ""


def test_parted_pods_stay_parted_when_one_is_replaced() -> None:
    if reason := unavailable():
        pytest.skip(reason)
    with System() as shop:
        shop.apply(APPLICATION)
        for name in ("web", "client"):
            shop.wait_for("deployment", name, "Available", timeout="60s")
        (client,) = [pod["metadata"]["name"] for pod in shop.list("pods", labels="app=client")]

        def replaced() -> bool:
            addresses = [pod["status"].get("podIP") for pod in shop.list("pods", labels="app=web")]
            return bool(addresses) and any(list(each.ends["to"]) == addresses for each in shop.chaos.active())

        until(lambda: last(shop.logs(client))[1] == "took", "all is well")
        with shop.chaos.network("app=client", "app=web", loss=1.0) as fault:
            assert [each.name for each in shop.chaos.active()] == [fault.name]
            until(lambda: last(shop.logs(client))[1] == "failed", "nothing gets through")
            shop.delete("pod", shop.list("pods", labels="app=web")[0]["metadata"]["name"], grace_seconds=0)
            shop.wait_for("deployment", "web", "Available", timeout="60s")
            until(lambda: replaced() and last(shop.logs(client))[1] == "failed", "the new one is meant too")
        until(lambda: last(shop.logs(client))[1] == "took", "joined again")
