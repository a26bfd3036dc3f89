"""Two hundred pods at once in tier `proc`: seconds until all are Ready, requests to a Service over them, memory, their end.

    python -m benchmarks many

Every pod is a small HTTP server with a readiness probe; two node agents, because a node takes 110 pods as kubelet's does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import PORT, Machine, cpu_seconds, pss_megabytes
from benchmarks.system_api import Api, until

PODS, REQUESTS = 200, 2000
NAMESPACE = "many"
CORE, APPS = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/apps/v1/namespaces/{NAMESPACE}"
SERVER = """
import os, socket
listener = socket.create_server(("", 8080))
body = os.uname().nodename.encode()
while True:
    client, _ = listener.accept()
    client.recv(999)
    client.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    client.close()
"""
CLIENT = f"""
import json, socket, time
there = socket.gethostbyname("many")
begin, names, failed = time.perf_counter(), {{}}, 0
for _ in range({REQUESTS}):
    try:
        with socket.create_connection((there, 80), timeout=10) as sock:
            sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            name = sock.makefile().read().split()[-1]
            names[name] = names.get(name, 0) + 1
    except OSError:
        failed += 1
print(json.dumps([time.perf_counter() - begin, len(names), failed]))
"""


def rows() -> Iterator[tuple[str, ...]]:
    """(what, value, …)."""
    machine = Machine(PORT + 2)
    try:
        machine.up("--tier", "proc", "--nodes", "2")
        api = Api(machine)
        api.call("/api/v1/namespaces", "POST", {"metadata": {"name": NAMESPACE}})
        until(lambda: api.count("/api/v1/nodes") == 2)
        before = _processes(machine)
        yield f"apply → Ready, {PODS} pods at once", f"{_deploy(api):.1f} s", f"{_restarts(api)} restarts"
        time.sleep(5)
        yield _memory(machine, before)
        seconds, reached, failed = _ask(api)
        yield (
            "requests to a Service over them, from a pod", f"{REQUESTS / seconds:,.0f}/s",
            f"{reached} pods answered", f"{failed} failed",
        )  # fmt: skip
        begin = time.perf_counter()
        api.call(f"{APPS}/deployments/many", "DELETE")
        until(lambda: api.count(f"{CORE}/pods?labelSelector=app%3Dmany") == 0)
        yield "deleted → all gone", f"{time.perf_counter() - begin:.1f} s"
    finally:
        machine.close()


def _deploy(api: Api) -> float:
    """Seconds until all are Ready."""
    ports = [{"port": 80, "targetPort": 8080}]
    api.call(
        f"{CORE}/services",
        "POST",
        {"metadata": {"name": "many"}, "spec": {"selector": {"app": "many"}, "ports": ports}},
    )
    container = {
        "name": "server",
        "image": "wherry.dev/host:v1",
        "command": ["python3", "-I", "-S", "-c", SERVER],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    }
    begin = time.perf_counter()
    template = {
        "metadata": {"labels": {"app": "many"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": PODS, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    api.call(f"{APPS}/deployments", "POST", {"metadata": {"name": "many"}, "spec": spec})
    until(lambda: api.call(f"{APPS}/deployments/many").get("status", {}).get("readyReplicas", 0) == PODS)
    return time.perf_counter() - begin


def _restarts(api: Api) -> int:
    statuses = [each["status"].get("containerStatuses", [{}]) for each in api.call(f"{CORE}/pods")["items"]]
    return sum(int(each.get("restartCount", 0)) for found in statuses for each in found)


def _ask(api: Api) -> tuple[float, int, int]:
    """Seconds, pods that answered, failed requests; of a client in a pod of its own."""
    container = {"name": "client", "image": "wherry.dev/host:v1", "command": ["python3", "-c", CLIENT]}
    pod = {"metadata": {"name": "client"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    api.call(f"{CORE}/pods", "POST", pod)
    until(lambda: api.call(f"{CORE}/pods/client")["status"].get("phase") in ("Succeeded", "Failed"))
    connection = api.connect()
    connection.request("GET", f"{CORE}/pods/client/log")
    seconds, reached, failed = json.loads(connection.getresponse().read())
    connection.close()
    return seconds, reached, failed


def _processes(machine: Machine) -> set[int]:
    return {pid for group in machine.pids().values() for pid in group}


def _memory(machine: Machine, before: set[int]) -> tuple[str, ...]:
    """Per pod: what is ours, what is its program's; and what waiting costs."""
    ours, theirs = [], []
    new = _processes(machine) - before
    for pid in new:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        (ours if name.startswith("wherry") else theirs).append(pss_megabytes(pid))
    everything = _processes(machine)
    used = sum(cpu_seconds(pid) for pid in everything)
    time.sleep(5)
    share = (sum(cpu_seconds(pid) for pid in everything) - used) / 5 * 100
    return (
        "memory per pod (PSS), all waiting", f"{sum(ours) / PODS:.1f} MB ours", f"{sum(theirs) / PODS:.1f} MB its own",
        f"{share:.0f} % of a core",
    )  # fmt: skip
