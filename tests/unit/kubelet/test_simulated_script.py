from __future__ import annotations

import pytest

from wherry.api.types import Obj
from wherry.kubelet.simulated.life import Ended, Life, resumed
from wherry.kubelet.simulated.script import PREFIX, Script, ScriptError, duration, used
from wherry.kubelet.simulated.status import pod_status

NOW = 1_700_000_000.0


def pod(restart: str = "Always", /, **script: str) -> Obj:
    annotations = {f"{PREFIX}{key.replace('_', '-')}": value for key, value in script.items()}
    metadata = {"name": "p", "namespace": "default", "uid": "u", "annotations": annotations}
    spec = {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deleted(obj: Obj, grace: int = 30) -> Obj:
    marks = {"deletionTimestamp": "2023-11-14T22:13:20Z", "deletionGracePeriodSeconds": grace}
    return {**obj, "metadata": {**obj["metadata"], **marks}}


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("2s", 2), ("1m30s", 90), ("300ms", 0.3), ("1.5h", 5400), ("1h2m3s", 3723)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "1 s", "1s2", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("ready_after", "soon", "simulation.wherry.dev/ready-after: 'soon': must be a duration"),
        ("exit_code", "256", "simulation.wherry.dev/exit-code: '256': must be a number from 0 to 255"),
        ("cpu", "-1", "simulation.wherry.dev/cpu: '-1': must not be negative"),
        ("cpu", "5s=1,1s=2", "must be in order of time"),
        ("memory", "lots", "simulation.wherry.dev/memory: 'lots'"),
        ("redy_after", "1s", "simulation.wherry.dev/redy-after is not known: use one of start-after"),
    ],
)
def test_what_cannot_be_followed_is_named(key: str, value: str, problem: str) -> None:
    with pytest.raises(ScriptError, match=problem.replace(".", r"\.")):
        Script.of(pod(**{key: value}))


def test_usage_over_time() -> None:
    script = Script.of(pod(cpu="0s=100m,30s=2,1m=0", memory="64Mi"))
    assert [used(script.cpu, at) for at in (0, 29.9, 30, 59, 60)] == [10**8, 10**8, 2 * 10**9, 2 * 10**9, 0]
    assert used(script.memory, 5) == 64 << 20
    assert used(Script.of(pod(cpu="5s=1")).cpu, 4) == 0


def played(obj: Obj, *moments: float) -> tuple[Life, list[Obj]]:
    """The life after the last moment, and the status at each; moments in seconds from the start."""
    life = Life(Script.of(obj), NOW)
    statuses = []
    for moment in moments:
        life.advance(obj, NOW + moment)
        statuses.append(pod_status(obj, life, "198.18.0.0", NOW + moment))
    return life, statuses


def test_starting_and_getting_ready() -> None:
    _, (before, running, ready) = played(pod(start_after="2s", ready_after="3s"), 1, 2, 5)
    assert before["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (before["phase"], running["phase"], ready["phase"]) == ("Pending", "Running", "Running")
    assert running["containerStatuses"][0]["state"] == {"running": {"startedAt": "2023-11-14T22:13:22Z"}}
    assert [status["containerStatuses"][0]["ready"] for status in (before, running, ready)] == [False, False, True]


def test_it_says_when_it_wants_to_be_looked_at() -> None:
    life, _ = played(pod(start_after="2s", ready_after="3s"), 0)
    assert life.next_at(NOW) == NOW + 2
    life, _ = played(pod(start_after="2s", ready_after="3s"), 2)
    assert life.next_at(NOW + 2) == NOW + 5
    assert life.next_at(NOW + 5) is None


def test_a_container_that_is_meant_to_end_does() -> None:
    life, (running, ended) = played(pod("Never"), 0.5, 1)
    assert (running["phase"], ended["phase"], life.over) == ("Running", "Succeeded", True)
    assert ended["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    _, (failed,) = played(pod("Never", exit_code="3"), 9)
    assert (failed["phase"], failed["containerStatuses"][0]["state"]["terminated"]["exitCode"]) == ("Failed", 3)


def test_a_crash_loop_waits_as_a_kubelet_does() -> None:
    obj = pod(run_for="5s", exit_code="1")
    life, statuses = played(obj, 4, 6, 11, 16, 21)
    assert [status["containerStatuses"][0]["restartCount"] for status in statuses] == [0, 1, 1, 1, 2]
    waiting = statuses[2]["containerStatuses"][0]
    assert waiting["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 10s restarting failed container=c pod=p_default(u)",
    }
    assert waiting["lastState"]["terminated"]["exitCode"] == 1
    life.advance(obj, NOW + 26)
    assert (life.delay, life.again_at) == (20.0, NOW + 45)


@pytest.mark.parametrize("step", [0.25, 1.0, 3.0, 100.0])
def test_looking_seldom_changes_nothing(step: float) -> None:
    obj = pod(run_for="5s", exit_code="1", start_after="1s")
    often, seldom = Life(Script.of(obj), NOW), Life(Script.of(obj), NOW)
    moment = 0.0
    while moment < 600:
        moment += step
        often.advance(obj, NOW + moment)
    seldom.advance(obj, NOW + moment)
    assert often == seldom
    assert seldom.restarts == 6  # after 0, 10, 20, 40, 80 and 160 seconds


def test_ending_when_told_to() -> None:
    obj = pod(stop_after="3s")
    life, _ = played(obj, 0)
    life.advance(deleted(obj), NOW + 10)
    assert (life.over, life.next_at(NOW + 10)) == (False, NOW + 13)
    life.advance(deleted(obj), NOW + 13)
    assert life.last == Ended(NOW, NOW + 13, 143)
    assert pod_status(deleted(obj), life, "", NOW + 13)["phase"] == "Failed"


def test_who_does_not_end_is_killed() -> None:
    obj = pod(stop_after="1m")
    life, _ = played(obj, 0)
    life.advance(deleted(obj, 5), NOW + 10)
    life.advance(deleted(obj, 5), NOW + 15)
    assert life.last == Ended(NOW, NOW + 15, 137)


def test_deleted_before_it_began() -> None:
    obj = deleted(pod(start_after="1h"))
    life, (status,) = played(obj, 0)
    assert (life.over, status["phase"]) == (True, "Failed")


def test_told_to_end_before_it_began_it_waits_for_its_end_only() -> None:
    """Not for the beginning that will not be: that moment is past and would be waited for without end."""
    obj = deleted(pod(start_after="1s", stop_after="20s"))
    life = Life(Script.of(obj), NOW)
    life.advance(obj, NOW + 0.5)
    assert life.next_at(NOW + 5) == NOW + 20.5


def test_what_was_recorded_goes_on() -> None:
    obj = pod(run_for="5s", exit_code="1")
    life, (_, running, waiting) = played(obj, 0, 5.5, 17)
    again = resumed({**obj, "status": {**running, "podIP": "100.64.0.2"}}, life.script, NOW + 6)
    assert (again.address, again.restarts, again.started_at) == ("100.64.0.2", 1, NOW + 5)
    again = resumed({**obj, "status": waiting}, life.script, NOW + 17)
    assert (again.restarts, again.started_at, again.again_at) == (1, None, life.again_at)
    assert resumed({**obj, "status": {"phase": "Succeeded"}}, life.script, NOW).over
