"""One workload of thousands of pods on 5,000 simulated nodes, of each kind, up and down again, one after the other.

    python -m benchmarks large

Measured is the time until it is done, the control plane's CPU per pod, and what a client that GETs something small all the
time sees meanwhile: milliseconds, median, 99th percentile and longest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.machine import PORT, Machine, cpu_seconds
from benchmarks.system_api import Api, Probe, until

NODES = 5_000
PODS = 10_000
NAMESPACE = "large"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


def rows() -> Iterator[tuple[str, ...]]:
    machine = Machine(PORT + 1)
    try:
        machine.up("--simulated-nodes", str(NODES))
        api = Api(machine)
        until(lambda: api.count("/api/v1/nodes") > NODES)
        yield (f"{NODES} simulated nodes, in turn", "seconds", "CPU ms/pod", "GET ms p50,99,max")
        yield from _Course(api, machine.pids()["control-plane"][0]).rows()
    finally:
        machine.close()


class _Course:
    """The steps, each from its first request until everybody sees its end."""

    def __init__(self, api: Api, control_plane: int) -> None:
        self._api = api
        self._control_plane = control_plane

    def rows(self) -> Iterator[tuple[str, ...]]:
        api = self._api
        self._make_namespace()
        api_one = f"{APPS}/deployments/one"
        yield self._step(f"one Deployment of {PODS}", PODS, lambda: self._deploy(PODS), lambda: self._ready() >= PODS)
        half = {"spec": {"replicas": PODS // 2}}
        yield self._step("scaled down by half", PODS // 2, lambda: api.patch(api_one, half), self._pods_are(PODS // 2))
        yield self._step(f"a Service of {PODS // 2} endpoints", PODS // 2, self._serve, self._served)
        none = {"spec": {"replicas": 0}}
        yield self._step("scaled down to none", PODS // 2, lambda: api.patch(api_one, none), self._pods_are(0))
        back = {"spec": {"replicas": PODS}}
        yield self._step("scaled up, with the Service", PODS, lambda: api.patch(api_one, back), self._served)
        yield self._step(f"that Deployment of {PODS} deleted", PODS, lambda: self._delete(api_one), self._pods_are(0))
        api.call(f"{CORE}/services/one", "DELETE")
        yield self._step(f"a DaemonSet on {NODES} nodes", NODES, self._daemons, self._daemons_ready)
        daemons = f"{APPS}/daemonsets/each"
        yield self._step("that DaemonSet deleted", NODES, lambda: self._delete(daemons), self._pods_are(0))
        yield self._step(f"a Job of {NODES} completions", NODES, self._work, self._worked)
        yield self._step("that Job deleted", NODES, lambda: self._delete(f"{BATCH}/jobs/work"), self._pods_are(0))
        self._deploy(PODS)
        until(lambda: self._ready() >= PODS)
        gone = f"a namespace of {PODS} pods deleted"
        yield self._step(gone, PODS, lambda: self._delete(f"/api/v1/namespaces/{NAMESPACE}"), self._no_namespace)

    def _step(self, name: str, pods: int, act: Callable[[], Any], done: Callable[[], bool]) -> tuple[str, ...]:
        before, begin = cpu_seconds(self._control_plane), time.perf_counter()
        with Probe(self._api) as probe:
            act()
            until(done)
            seconds = time.perf_counter() - begin
        used = (cpu_seconds(self._control_plane) - before) * 1000 / pods
        return name, f"{seconds:.1f}", f"{used:.1f}", probe.result()

    # -- what is done

    def _make_namespace(self) -> None:
        self._api.call("/api/v1/namespaces", "POST", {"metadata": {"name": NAMESPACE}})
        until(lambda: self._api.count(f"{CORE}/serviceaccounts") > 0)

    def _deploy(self, replicas: int) -> None:
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "one"}}, "template": template("one")}
        self._api.call(f"{APPS}/deployments", "POST", {"metadata": {"name": "one"}, "spec": spec})

    def _serve(self) -> None:
        spec = {"selector": {"app": "one"}, "ports": [{"port": 80}]}
        self._api.call(f"{CORE}/services", "POST", {"metadata": {"name": "one"}, "spec": spec})

    def _daemons(self) -> None:
        spec = {"selector": {"matchLabels": {"app": "each"}}, "template": template("each")}
        self._api.call(f"{APPS}/daemonsets", "POST", {"metadata": {"name": "each"}, "spec": spec})

    def _work(self) -> None:
        pod = template("work", **{"simulation.wherry.dev/run-for": "5s"})
        pod["spec"]["restartPolicy"] = "Never"
        spec = {"completions": NODES, "parallelism": NODES, "template": pod}
        self._api.call(f"{BATCH}/jobs", "POST", {"metadata": {"name": "work"}, "spec": spec})

    def _delete(self, path: str) -> None:
        """As kubectl does: what is owned goes in the background."""
        self._api.call(path, "DELETE", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})

    # -- when it is done

    def _ready(self) -> int:
        status = self._api.call(f"{APPS}/deployments/one").get("status", {})
        return int(status.get("readyReplicas", 0))

    def _pods_are(self, number: int) -> Callable[[], bool]:
        return lambda: self._api.count(f"{CORE}/pods") == number

    def _served(self) -> bool:
        wanted = int(self._api.call(f"{APPS}/deployments/one")["spec"]["replicas"])
        slices = self._api.call(SLICES)["items"]
        there = [one for each in slices for one in each.get("endpoints") or () if one["conditions"]["ready"]]
        return len(there) == wanted

    def _daemons_ready(self) -> bool:
        status = self._api.call(f"{APPS}/daemonsets/each").get("status", {})
        return bool(status.get("numberReady", 0) >= NODES)

    def _worked(self) -> bool:
        status = self._api.call(f"{BATCH}/jobs/work").get("status", {})
        return any(one["type"] == "Complete" for one in status.get("conditions") or ())

    def _no_namespace(self) -> bool:
        names: list[str] = [one["metadata"]["name"] for one in self._api.call("/api/v1/namespaces")["items"]]
        return NAMESPACE not in names


def template(app: str, **annotations: str) -> Any:
    """A pod template for simulated nodes."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    spec = {
        "nodeSelector": {"wherry.dev/simulated": "true"},
        "containers": [{"name": "main", "image": "simulated", "resources": resources}],
    }
    return {"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": spec}
