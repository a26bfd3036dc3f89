"""The life of pods on a node, in virtual time: start, restart, order, end, and what survives whose restart.

Long because it is one life after the other, all in the same small world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubelet_runtime import Behaviour
from kubelet_world import Scenario, World

from wherry.api.resources import ENDPOINT_SLICES, PODS
from wherry.cri.interface import RuntimeFailure


def test_a_pod_runs_and_is_ready_after_one_or_two_writes(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create()
            took = await world.until(world.is_ready)
            assert took < 0.1
            assert len(world.api.status_patches) == 1
            status = world.status()
            assert status["phase"] == "Running"
            assert status["podIP"] == "10.244.0.5"
            assert status["podIPs"] == [{"ip": "10.244.0.5"}]
            assert status["hostIP"] == "10.244.0.1"
            container = world.container()
            assert container["started"] is True
            assert container["restartCount"] == 0
            assert container["containerID"].startswith("wherry://")
            assert world.condition("PodReadyToStartContainers")["status"] == "True"
            assert world.events.reasons() == ["Pulled", "Created", "Started"]

    play(scenario)


def test_crash_loop_backs_off_10_20_40_and_says_so(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(runs_seconds=1, exit_code=3)]
        async with world.running():
            pod = await world.create()
            uid = pod["metadata"]["uid"]
            await world.until(lambda: len(world.runtime.names_started()) == 2)
            assert world.clock.monotonic() < 1.5  # the first restart is immediate
            await world.until(lambda: "waiting" in world.container()["state"])
            waiting = world.container()["state"]["waiting"]
            assert waiting["reason"] == "CrashLoopBackOff"
            assert waiting["message"] == f"back-off 10s restarting failed container=app pod=web_default({uid})"
            assert world.container()["lastState"]["terminated"]["exitCode"] == 3
            assert world.container()["restartCount"] == 1
            assert world.status()["phase"] == "Running"
            starts = [await world.until(lambda n=n: len(world.runtime.names_started()) == n, 400) for n in range(3, 8)]
            assert [round(seconds) for seconds in starts] == [10, 21, 41, 81, 161]
            assert world.events.messages("BackOff")[0] == (
                f"Back-off restarting failed container app in pod web_default({uid})"
            )

    play(scenario)


def test_back_off_is_forgotten_after_ten_quiet_minutes(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        crash, long = Behaviour(runs_seconds=1, exit_code=1), Behaviour(runs_seconds=700, exit_code=1)
        world.runtime.script["app"] = [crash, crash, crash, long, Behaviour()]
        async with world.running():
            await world.create()
            await world.until(lambda: len(world.runtime.names_started()) == 4, 100)
            took = await world.until(lambda: len(world.runtime.names_started()) == 5, 800)
            assert 699.9 <= took < 701

    play(scenario)


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase", "starts"),
    [("Never", 0, "Succeeded", 1), ("Never", 2, "Failed", 1), ("OnFailure", 0, "Succeeded", 1)],
)
def test_restart_policy_decides_the_phase(
    play: Callable[[Scenario], None], policy: str, exit_code: int, phase: str, starts: int
) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(runs_seconds=1, exit_code=exit_code)]
        async with world.running():
            await world.create(restartPolicy=policy)
            await world.until(lambda: world.status().get("phase") == phase)
            await world.wait(60)
            assert len(world.runtime.names_started()) == starts
            terminated = world.container()["state"]["terminated"]
            assert terminated["exitCode"] == exit_code
            assert terminated["reason"] == ("Completed" if exit_code == 0 else "Error")
            reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
            assert world.condition("Ready")["reason"] == reason

    play(scenario)


def test_on_failure_starts_again_what_failed(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(runs_seconds=1, exit_code=1), Behaviour(runs_seconds=1)]
        async with world.running():
            await world.create(restartPolicy="OnFailure")
            await world.until(lambda: world.status().get("phase") == "Succeeded")
            assert world.container()["restartCount"] == 1

    play(scenario)


def test_init_containers_run_in_order_and_then_the_sidecar_and_the_rest(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        done = Behaviour(runs_seconds=1)
        world.runtime.script |= {"one": [done], "two": [done], "app": [Behaviour(runs_seconds=5)]}
        async with world.running():
            await world.create(
                initContainers=[{"name": "one"}, {"name": "proxy", "restartPolicy": "Always"}, {"name": "two"}],
                restartPolicy="Never",
            )
            await world.until(lambda: "one" in world.runtime.names_started())
            await world.wait(0.1)
            assert world.status()["phase"] == "Pending"
            assert world.condition("Initialized")["reason"] == "ContainersNotInitialized"
            assert world.condition("Initialized")["message"] == "containers with incomplete status: [one proxy two]"
            assert world.container()["state"]["waiting"]["reason"] == "PodInitializing"
            await world.until(lambda: world.status()["phase"] == "Succeeded")
            assert world.runtime.names_started() == ["one", "proxy", "two", "app"]
            assert world.runtime.said("exit") == ["one", "two", "app", "proxy"]

    play(scenario)


def test_a_failed_init_container_fails_a_pod_that_never_restarts(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["one"] = [Behaviour(runs_seconds=1, exit_code=1)]
        async with world.running():
            await world.create(initContainers=[{"name": "one"}], restartPolicy="Never")
            await world.until(lambda: world.status().get("phase") == "Failed")
            assert world.runtime.names_started() == ["one"]

    play(scenario)


def test_a_failed_init_container_is_tried_again_with_back_off(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["one"] = [Behaviour(runs_seconds=1, exit_code=1)] * 2 + [Behaviour(runs_seconds=1)]
        async with world.running():
            await world.create(initContainers=[{"name": "one"}])
            await world.until(
                lambda: "waiting" in world.container("one")["state"] and world.container("one")["restartCount"] == 1
            )
            assert world.container("one")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            await world.until(world.is_ready)
            assert world.runtime.names_started() == ["one", "one", "one", "app"]

    play(scenario)


def test_a_sidecar_is_restarted_and_keeps_no_pod_alive(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(runs_seconds=30)]
        async with world.running():
            await world.create(initContainers=[{"name": "proxy", "restartPolicy": "Always"}], restartPolicy="Never")
            await world.until(world.is_ready)
            world.runtime.kill("proxy")
            await world.until(lambda: world.runtime.names_started().count("proxy") == 2)
            await world.until(lambda: world.status()["phase"] == "Succeeded")

    play(scenario)


def test_deletion_stops_containers_then_sidecars_and_removes_the_pod(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(term_seconds=3)]
        async with world.running():
            await world.create(initContainers=[{"name": "proxy", "restartPolicy": "Always"}])
            await world.until(world.is_ready)
            await world.delete()
            took = await world.until(lambda: world.stored() is None)
            assert 3 <= took < 3.2
            assert world.runtime.said("exit") == ["app", "proxy"]
            assert "Stopping container app" in world.events.messages("Killing")
            assert not world.runtime.sandboxes
            assert not world.runtime.containers
            assert not world.addresses.held
            await world.wait(0.1)
            assert not list((world.directory / "pods").iterdir())
            assert world.api.status_patches[-1]["phase"] == "Failed"  # 143 is no success

    play(scenario)


def test_a_shorter_grace_period_takes_effect_at_once(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(term_seconds=100)]
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            await world.delete()
            await world.wait(1)
            await world.delete(grace_seconds=2)
            assert await world.until(lambda: world.stored() is None) < 3

    play(scenario)


def test_force_deletion_ends_the_pod_after_the_api_has_forgotten_it(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(term_seconds=100)]
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            await world.delete(grace_seconds=0)
            assert world.stored() is None
            took = await world.until(lambda: not world.runtime.sandboxes)
            assert took < 3

    play(scenario)


def test_deletion_interrupts_a_pull(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.images.missing["slow:1"] = None

        async def hang(reference: str, auths: Any) -> Any:
            await world.wait(3600)

        world.images.pull_image = hang  # type: ignore[method-assign]
        async with world.running():
            await world.create("web", {"name": "app", "image": "slow:1"})
            await world.until(lambda: bool(world.runtime.sandboxes))
            await world.delete()
            assert await world.until(lambda: world.stored() is None) < 1

    play(scenario)


def test_active_deadline_fails_the_pod(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create(activeDeadlineSeconds=5)
            await world.until(lambda: world.status().get("phase") == "Failed")
            assert 4 <= world.clock.monotonic() < 7
            assert world.status()["reason"] == "DeadlineExceeded"
            assert world.status()["message"] == "Pod was active on the node longer than the specified deadline"
            assert "terminated" in world.container()["state"]

    play(scenario)


def test_a_restarted_agent_finds_its_pods_and_leaves_them_alone(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("web", {"name": "app", "readinessProbe": {"exec": {"command": ["ok"]}}})
            await world.until(world.is_ready)
        patches = len(world.api.status_patches)
        async with world.running():
            await world.wait(30)
            assert world.runtime.names_started() == ["app"]
            assert world.is_ready()
            assert len(world.api.status_patches) == patches
            world.runtime.kill("app")
            await world.until(lambda: world.container()["restartCount"] == 1 and world.is_ready())

    play(scenario)


def test_pods_deleted_while_the_agent_was_away_are_ended(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("gone")
            await world.create("ending")
            await world.until(lambda: world.is_ready("gone") and world.is_ready("ending"))
        await world.delete("gone", grace_seconds=0)
        await world.delete("ending")
        async with world.running():
            await world.until(lambda: not world.runtime.sandboxes and world.stored("ending") is None)
            await world.wait(0.1)
            assert not list((world.directory / "pods").iterdir())

    play(scenario)


@pytest.mark.parametrize("forget", [False, True])
def test_after_the_launcher_has_died_pods_start_again(play: Callable[[Scenario], None], forget: bool) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create(initContainers=[{"name": "one"}])
            world.runtime.script["one"] = [Behaviour(runs_seconds=1)]
            await world.until(world.is_ready)
            address = world.status()["podIP"]
            await world.runtime.lose_everything(forget=forget)
            await world.until(lambda: world.container()["restartCount"] == 1 and world.is_ready())
            assert world.runtime.names_started() == ["one", "app", "one", "app"]
            assert world.status()["podIP"] == address
            assert world.container()["lastState"]["terminated"]["exitCode"] in (255, 137)
            if not forget:
                assert "SandboxChanged" in world.events.reasons()
            await world.wait(1)
            assert len(world.runtime.sandboxes) == 1

    play(scenario)


def test_a_finished_pod_stays_finished_when_the_launcher_dies(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(runs_seconds=1)]
        async with world.running():
            await world.create(restartPolicy="Never")
            await world.until(lambda: world.status().get("phase") == "Succeeded")
            await world.runtime.lose_everything(forget=True)
            await world.wait(10)
            assert world.runtime.names_started() == ["app"]
            assert world.status()["phase"] == "Succeeded"
            assert world.container()["state"]["terminated"]["exitCode"] == 0
            await world.delete()
            await world.until(lambda: world.stored() is None)

    play(scenario)


def test_a_missing_config_map_is_said_and_waited_for(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
        async with world.running():
            await world.create("web", {"name": "app", "env": env})
            await world.until(lambda: world.container()["state"]["waiting"]["reason"] == "CreateContainerConfigError")
            assert world.container()["state"]["waiting"]["message"] == 'configmap "settings" not found'
            assert 'Error: configmap "settings" not found' in world.events.messages("Failed")
            await world.config_map("settings", b="1")
            await world.until(lambda: "couldn't find key" in world.container()["state"]["waiting"]["message"], 1)
            message = "couldn't find key a in ConfigMap default/settings"
            assert world.container()["state"]["waiting"]["message"] == message
            await world.config_map("settings", a="1")
            assert await world.until(world.is_ready) < 1

    play(scenario)


def test_image_pull_failures_back_off_and_recover(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.images.missing["no:1"] = RuntimeFailure("ErrImagePull", "no route to registry")
        async with world.running():
            await world.create("web", {"name": "app", "image": "no:1"})
            await world.until(lambda: (world.container()["state"].get("waiting") or {}).get("reason") == "ErrImagePull")
            await world.until(lambda: world.container()["state"]["waiting"]["reason"] == "ImagePullBackOff")
            message = 'Back-off pulling image "no:1": ErrImagePull: no route to registry'
            assert world.container()["state"]["waiting"]["message"] == message
            assert 'Failed to pull image "no:1": no route to registry' in world.events.messages("Failed")
            assert "Error: ErrImagePull" in world.events.messages("Failed")
            world.images.missing["no:1"] = None
            took = await world.until(world.is_ready)
            assert 6 < took < 11
            assert world.images.pulls == ["no:1", "no:1"]

    play(scenario)


def test_an_image_that_is_built_during_a_back_off_is_not_waited_for(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.images.missing["mine:1"] = RuntimeFailure("ErrImagePull", "no registry host")
        async with world.running():
            await world.create("web", {"name": "app", "image": "mine:1"})
            text = 'Failed to pull image "mine:1": no registry host'
            await world.until(lambda: world.events.messages("Failed").count(text) == 5, 200)
            await world.until(lambda: world.container()["state"]["waiting"]["reason"] == "ErrImagePull")
            await world.until(lambda: world.container()["state"]["waiting"]["reason"] == "ImagePullBackOff")
            del world.images.missing["mine:1"]
            assert await world.until(world.is_ready) < 15
            assert len(world.images.pulls) == 5  # the next one came after 160 seconds

    play(scenario)


def test_a_start_that_fails_is_shown_and_tried_again(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        failure = RuntimeFailure("RunContainerError", 'exec: "nope": executable file not found in $PATH')
        world.runtime.script["app"] = [Behaviour(start_failure=failure), Behaviour()]
        async with world.running():
            await world.create()
            await world.until(
                lambda: (world.container()["state"].get("waiting") or {}).get("reason") == "RunContainerError"
            )
            assert "nope" in world.container()["state"]["waiting"]["message"]
            await world.until(world.is_ready)
            assert world.container()["restartCount"] == 1

    play(scenario)


def test_a_sandbox_that_fails_is_tried_again(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.sandbox_failures = [RuntimeFailure("x", "no memory")]
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            assert world.events.messages("FailedCreatePodSandBox") == ["Failed to create pod sandbox: no memory"]

    play(scenario)


def test_fifty_pods_start_side_by_side(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            for number in range(50):
                await world.create(f"web-{number}")
            took = await world.until(lambda: all(world.is_ready(f"web-{number}") for number in range(50)))
            assert took < 0.5

    play(scenario)


def test_many_statuses_at_once_are_all_written(play: Callable[[Scenario], None]) -> None:
    """A slow API server: newer statuses come while older ones wait for their turn, and none may be lost."""

    async def scenario(world: World) -> None:
        patch = world.client.patch

        async def slow(*args: Any, **options: Any) -> Any:
            await world.wait(0.02)
            return await patch(*args, **options)

        world.client.patch = slow  # type: ignore[method-assign]
        async with world.running():
            for number in range(40):
                await world.create(f"web-{number}")
            await world.until(lambda: all(world.is_ready(f"web-{number}") for number in range(40)))

    play(scenario)


def test_sigterm_waits_until_no_service_sends_traffic(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            pod = await world.create()
            await world.until(world.is_ready)
            endpoint = {"addresses": ["10.244.0.5"], "targetRef": {"kind": "Pod", "uid": pod["metadata"]["uid"]}}
            found = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "endpoints": [endpoint]}
            found["metadata"] = {"name": "web-1", "namespace": "default"}
            stored = await world.client.create(ENDPOINT_SLICES, found)
            await world.wait(0.1)
            await world.delete()
            await world.wait(0.3)
            assert world.runtime.said("stop") == []
            endpoint = {**endpoint, "conditions": {"ready": False, "terminating": True}}
            await world.client.update(ENDPOINT_SLICES, {**stored, "endpoints": [endpoint]})
            assert await world.until(lambda: world.stored() is None) < 0.1

    play(scenario)


def test_a_force_deletion_shortens_a_long_end(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.runtime.script["app"] = [Behaviour(term_seconds=100)]
        async with world.running():
            await world.create()
            await world.until(world.is_ready)
            await world.delete()
            await world.wait(1)
            await world.delete(grace_seconds=0)
            assert await world.until(lambda: not world.runtime.sandboxes) < 3

    play(scenario)


def test_one_pod_we_cannot_handle_leaves_the_others_alone(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("broken", activeDeadlineSeconds="soon")
            await world.create("web")
            await world.until(world.is_ready)
            await world.until(lambda: bool(world.events.messages("FailedSync")))

    play(scenario)


def test_a_resize_is_said_to_be_infeasible_and_not_pretended(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            resources = {"requests": {"cpu": "100m"}}
            pod = await world.create("web", {"name": "app", "resources": resources})
            await world.until(world.is_ready)
            assert world.container()["allocatedResources"] == {"cpu": "100m"}
            stored = world.stored()
            assert stored is not None
            (container,) = pod["spec"]["containers"]
            grown = {**container, "resources": {"requests": {"cpu": "200m"}}}
            metadata = {**stored["metadata"], "generation": 2}
            await world.client.update(
                PODS, {**stored, "metadata": metadata, "spec": {**pod["spec"], "containers": [grown]}}
            )
            await world.until(lambda: "PodResizePending" in [each["type"] for each in world.status()["conditions"]])
            assert world.condition("PodResizePending")["reason"] == "Infeasible"
            assert world.container()["allocatedResources"] == {"cpu": "100m"}
            world.runtime.kill("app")
            await world.until(lambda: world.container().get("allocatedResources") == {"cpu": "200m"})
            assert world.condition("PodResizePending")["status"] == "False"

    play(scenario)
