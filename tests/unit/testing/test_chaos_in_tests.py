"""`control_plane.chaos`: what an operator's author breaks in a test, and that it is whole again afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import wherry
from wherry.api.errors import StatusError
from wherry.chaos.faults import BadFault
from wherry.testing.chaos import NotPretended

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: nginx}]}
"""


@pytest.fixture
def cp() -> Iterator[wherry.ControlPlane]:
    with wherry.ControlPlane() as plane:
        yield plane


def test_requests_of_clients_outside_fail_and_the_tests_own_do_not(cp: wherry.ControlPlane) -> None:
    kubernetes = pytest.importorskip("kubernetes")
    cp.apply(CONFIG_MAP)
    with cp.kubernetes_client() as connection:
        api = kubernetes.client.CoreV1Api(connection)
        api.read_namespaced_config_map("c", "default")
        api.read_namespaced_config_map("c", "default")  # from now on it could be answered without being asked
        with cp.chaos.api(fail=500, verb="get", resource="configmaps") as fault:
            assert cp.chaos.active() == [fault]
            assert cp.get("configmap", "c")["data"] == {"a": "1"}
            with pytest.raises(kubernetes.client.ApiException) as refused:
                api.read_namespaced_config_map("c", "default")
            assert refused.value.status == 500
            api.list_namespaced_config_map("default")
        assert cp.chaos.active() == []
        assert api.read_namespaced_config_map("c", "default").data == {"a": "1"}


def test_a_delay_is_of_the_control_planes_own_time(cp: wherry.ControlPlane) -> None:
    began = cp.clock.now
    with cp.chaos.api(delay="3s", user="kubernetes-admin", verb="patch"):
        cp.apply(CONFIG_MAP)
    assert (cp.clock.now - began).total_seconds() == pytest.approx(3, abs=0.01)


def test_controllers_reach_their_goal_although_every_other_write_conflicts(cp: wherry.ControlPlane) -> None:
    us = "system:kube-controller-manager"
    with cp.chaos.api(fail=409, user=us, verb="create,update,patch", share=0.5, seed=3):
        cp.apply(DEPLOYMENT)
        cp.wait_for("deployment", "web", "Available", timeout="10m")
    assert len(cp.list("pods", labels="app=web")) == 2
    with cp.chaos.api(fail=503, user=us):
        cp.patch("deployment", "web", {"spec": {"replicas": 4}})
        cp.clock.advance("1m")
        assert len(cp.list("pods", labels="app=web")) == 2, "nobody could make any"
    cp.wait_for("deployment", "web", lambda one: one["status"].get("readyReplicas") == 4, timeout="10m")


def test_the_same_seed_breaks_the_same_requests() -> None:
    def reasons(seed: int) -> list[str]:
        with wherry.ControlPlane() as cp:
            found = []
            with cp.chaos.api(fail=500, user="kubernetes-admin", share=0.5, seed=seed):
                for _ in range(20):
                    try:
                        cp.apply(CONFIG_MAP)
                        found.append("ok")
                    except StatusError as error:
                        found.append(error.reason)
            return found

    assert reasons(1) == reasons(1)
    assert set(reasons(1)) == {"ok", "InternalError"}
    assert reasons(1) != reasons(2)


def test_a_node_that_is_cut_off_is_missed_and_comes_back(cp: wherry.ControlPlane) -> None:
    with cp.chaos.node("simulated-0"):
        cp.wait_for("node", "simulated-0", "Ready=Unknown", timeout="1m")
    cp.wait_for("node", "simulated-0", "Ready", timeout="1m")


def test_pods_are_killed_by_selector_and_by_seed(cp: wherry.ControlPlane) -> None:
    cp.apply(DEPLOYMENT)
    cp.wait_for("deployment", "web", "Available")
    killed = cp.chaos.kill_pod("app=web", seed=4)
    assert killed not in [one["metadata"]["name"] for one in cp.list("pods")]
    assert len(cp.list("pods", labels="app=web")) == 2
    with pytest.raises(LookupError, match="no pod of default has the labels 'app=none'"):
        cp.chaos.kill_pod("app=none")


def test_faults_end_with_their_block_whatever_happens_in_it(cp: wherry.ControlPlane) -> None:
    with pytest.raises(ZeroDivisionError), cp.chaos.api(fail=500):
        raise ZeroDivisionError
    assert cp.chaos.active() == []


def test_what_cannot_be_broken_is_said(cp: wherry.ControlPlane) -> None:
    why = "pods that pretend ask no DNS; the fixture `system` has real ones"
    with pytest.raises(NotPretended, match=why), cp.chaos.dns("*"):
        pass
    with pytest.raises(NotPretended, match="writes to no disk"), cp.chaos.disk():
        pass
    with pytest.raises(BadFault, match="api faults cannot be chosen by 'label'"), cp.chaos.api(fail=500, label="x"):
        pass
    with pytest.raises(BadFault, match="cannot fail with 418: use 409, 429, 500, 503, 504"), cp.chaos.api(fail=418):
        pass
