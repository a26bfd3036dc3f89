"""The life of a pod: order of containers, probes of every kind, hooks, grace, restarts and their delays."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kubectl import Kubectl
from manifests import FOREVER, container, pod, program, shell, web
from wherry_system import until

SHARED = {"name": "shared", "mountPath": "/shared"}
VOLUME = {"name": "shared", "emptyDir": {}}


def _status(kubectl: Kubectl, name: str, index: int = 0) -> Any:
    return kubectl.json("pod", name)["status"]["containerStatuses"][index]


def test_init_containers_run_in_order_and_sidecars_stay(kubectl: Kubectl) -> None:
    def note(word: str, after: str = "") -> list[str]:
        return shell(f"echo {word} >> /shared/order; {after}")

    kubectl.apply(
        pod(
            "ordered",
            container(note("main", "exec sleep infinity"), volumeMounts=[SHARED]),
            initContainers=[
                container(note("one"), "one", volumeMounts=[SHARED]),
                container(note("sidecar", "exec sleep infinity"), "sidecar", restartPolicy="Always", volumeMounts=[SHARED],
                          startupProbe={"exec": {"command": ["grep", "-q", "sidecar", "/shared/order"]}, "periodSeconds": 1}),
                container(note("two"), "two", volumeMounts=[SHARED]),
            ],
            volumes=[VOLUME],
        )
    )  # fmt: skip
    kubectl.ready("ordered")
    order = ("exec", "ordered", "-c", "main", "--", "cat", "/shared/order")
    until(
        lambda: kubectl(*order).split() == ["one", "sidecar", "two", "main"], "it runs, and has said so a moment later"
    )
    assert re.search(r"ordered +2/2 +Running", kubectl("get", "pod", "ordered"))
    states = {
        each["name"]: next(iter(each["state"]))
        for each in kubectl.json("pod", "ordered")["status"]["initContainerStatuses"]
    }
    assert states == {"one": "terminated", "sidecar": "running", "two": "terminated"}


def test_a_failing_init_container_holds_the_pod(kubectl: Kubectl) -> None:
    kubectl.apply(pod("held", container(FOREVER), initContainers=[container(shell("exit 9"), "setup")]))
    kubectl.wait("pod/held", "jsonpath={.status.initContainerStatuses[0].restartCount}=1")
    until(lambda: re.search(r"held +0/1 +Init:(CrashLoopBackOff|Error) ", kubectl("get", "pod", "held")))
    assert "waiting to start: PodInitializing" in kubectl.fails("logs", "held")


def test_a_sidecar_of_a_job_like_pod_ends_with_it(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "batch",
            container(shell("echo done")),
            initContainers=[container(FOREVER, "sidecar", restartPolicy="Always")],
            restartPolicy="Never",
        )
    )
    kubectl.wait("pod/batch", "jsonpath={.status.phase}=Succeeded")


def test_crash_loop_delays_start_at_ten_seconds(kubectl: Kubectl) -> None:
    crash = shell("date +%s.%N >> /shared/starts; exit 1")
    watcher = container(FOREVER, "watcher", volumeMounts=[SHARED])
    kubectl.apply(pod("crash", container(crash, volumeMounts=[SHARED]), watcher, volumes=[VOLUME]))
    watch, status = ("get", "pod", "crash", "--watch", "--no-headers"), ".status.containerStatuses[0]"
    columns = f"custom-columns=R:{status}.restartCount,W:{status}.state.waiting.reason,M:{status}.state.waiting.message"
    with kubectl.start(*watch) as table, kubectl.start(*watch, "-o", columns) as waiting:
        waiting.line(r"^1 +CrashLoopBackOff +back-off 10s restarting failed container=main pod=crash_\S+\(\S+\)")
        table.line("^crash +1/2 +CrashLoopBackOff +1 ")
        kubectl.event("Warning +BackOff +Pod +crash +Back-off restarting failed container main in pod crash_")
        waiting.line("^2 +CrashLoopBackOff +back-off 20s ")
    starts = [float(each) for each in kubectl("exec", "crash", "-c", "watcher", "--", "cat", "/shared/starts").split()]
    assert starts[1] - starts[0] < 9.5 < starts[2] - starts[1]


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_restart_policies(kubectl: Kubectl, policy: str) -> None:
    once = shell("[ -e /shared/seen ] && exit 0; touch /shared/seen; exit 4")
    kubectl.apply(pod("task", container(once, volumeMounts=[SHARED]), restartPolicy=policy, volumes=[VOLUME]))
    phase, restarts = {"Never": ("Failed", 0), "OnFailure": ("Succeeded", 1)}[policy]
    kubectl.wait("pod/task", f"jsonpath={{.status.phase}}={phase}")
    assert _status(kubectl, "task")["restartCount"] == restarts


def test_readiness_follows_the_probe(kubectl: Kubectl) -> None:
    kubectl.apply(pod("web", web()))
    kubectl.ready("web")
    kubectl("exec", "web", "--", "touch", "/tmp/broken")
    kubectl.wait("pod/web", "condition=Ready=false")
    assert kubectl.path_of("{.status.conditions[?(@.type=='Ready')].reason}", "pod/web") == "ContainersNotReady"
    kubectl.event("Warning +Unhealthy +Pod +web +Readiness probe failed: HTTP probe failed with statuscode: 500")
    kubectl("exec", "web", "--", "rm", "/tmp/broken")
    kubectl.ready("web")
    assert "reason" not in next(
        each for each in kubectl.json("pod", "web")["status"]["conditions"] if each["type"] == "Ready"
    )
    assert _status(kubectl, "web")["restartCount"] == 0


GRPC = program("grpc_health")
PROBES = {
    "http": (program("web"), {"httpGet": {"path": "/live", "port": 8080}}, "HTTP probe failed with statuscode: 500"),
    "tcp": (program("web"), {"tcpSocket": {"port": 8080}}, "dial tcp .*: connect: connection refused"),
    "exec": (
        program("web"),
        {"exec": {"command": ["sh", "-c", "[ ! -e /tmp/broken ] || { echo it broke; exit 1; }"]}},
        "it broke",
    ),
    "grpc": (GRPC, {"grpc": {"port": 8080}}, "service unhealthy"),
}


@pytest.mark.parametrize("kind", PROBES)
def test_liveness_restarts_what_fails(kubectl: Kubectl, kind: str) -> None:
    command, probe, message = PROBES[kind]
    probe = {**probe, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30}
    startup = {**probe, "failureThreshold": 60}
    kubectl.apply(pod("life", container(command, livenessProbe=probe, startupProbe=startup)))
    kubectl.ready("life")
    assert _status(kubectl, "life")["restartCount"] == 0
    if kind == "tcp":
        kubectl("exec", "life", "--", "python3", "-c", _STOP_LISTENING)
    else:
        kubectl("exec", "life", "--", "touch", "/tmp/broken")
    kubectl.wait("pod/life", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    kubectl.event(f"Warning +Unhealthy +Pod +life +Liveness probe failed: {message}")
    kubectl.event("Normal +Killing +Pod +life +Container main failed liveness probe, will be restarted")
    kubectl.ready("life")


# The program in pid 1's child listens on; a new server on the port cannot, so its process is stopped: it accepts no more.
_STOP_LISTENING = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        command = open(f"/proc/{pid}/cmdline").read()
    except OSError:
        continue
    if "Serves HTTP on 8080" in command and int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGUSR1)
"""


def test_a_startup_probe_that_never_passes(kubectl: Kubectl) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    kubectl.apply(pod("slow", container(FOREVER, startupProbe=probe)))
    kubectl.event("Warning +Unhealthy +Pod +slow +Startup probe failed")
    kubectl.event("Normal +Killing +Pod +slow +Container main failed startup probe, will be restarted")
    assert _status(kubectl, "slow")["ready"] is False


def test_hooks(kubectl: Kubectl) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /shared/story"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo asked to stop >> /shared/story"]}},
    }
    main = shell(
        "trap 'echo terminated >> /shared/story; exit 0' TERM; touch /shared/hears; while :; do sleep 0.05; done"
    )
    watcher = shell(
        "trap '' TERM; until [ -e /shared/hears ]; do sleep 0.05; done; echo begins;"
        "until grep -q terminated /shared/story; do sleep 0.05; done; cat /shared/story; exit 0"
    )
    kubectl.apply(
        pod(
            "hooked",
            container(main, lifecycle=hooks, volumeMounts=[SHARED]),
            container(watcher, "watcher", volumeMounts=[SHARED]),
            volumes=[VOLUME],
            terminationGracePeriodSeconds=20,
        )
    )
    kubectl.ready("hooked")
    with kubectl.start("logs", "-f", "hooked", "-c", "watcher") as logs:
        logs.line("begins")
        kubectl("delete", "pod", "hooked", "--wait=false")
        said = logs.rest()
    assert said.splitlines() == ["begins", "started", "asked to stop", "terminated"]


def test_a_failing_post_start_hook_is_told(kubectl: Kubectl) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo no luck; exit 1"]}}}
    kubectl.apply(pod("hooked", container(FOREVER, lifecycle=hook)))
    kubectl.event("Warning +FailedPostStartHook +Pod +hooked ")


def test_what_ignores_sigterm_is_killed_after_its_grace(kubectl: Kubectl) -> None:
    stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    kubectl.apply(pod("stubborn", container(stubborn), terminationGracePeriodSeconds=2))
    kubectl.ready("stubborn")
    with kubectl.start("get", "pod", "stubborn", "-w", "--no-headers") as watch:
        watch.line("Running")
        kubectl("delete", "pod", "stubborn", "--wait=false")
        watch.line("Terminating")
    kubectl.wait("pod/stubborn", "delete", 25)  # before the 30 s of those that ask for none


def test_how_it_ended_is_said(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "said",
            container(shell("echo the last thing > /dev/termination-log; exit 5"), "told"),
            container(shell("echo from the log; exit 6"), "logged", terminationMessagePolicy="FallbackToLogsOnError"),
            restartPolicy="Never",
        )
    )
    kubectl.wait("pod/said", "jsonpath={.status.phase}=Failed")
    ended = {
        each["name"]: each["state"]["terminated"] for each in kubectl.json("pod", "said")["status"]["containerStatuses"]
    }
    assert (ended["told"]["exitCode"], ended["told"]["message"]) == (5, "the last thing\n")
    assert (ended["logged"]["exitCode"], ended["logged"]["message"]) == (6, "from the log\n")


@pytest.mark.parametrize(
    ("command", "reason", "message"),
    [
        (["nosuchprogram"], "StartError|RunContainerError", "executable file not found in \\$PATH"),
        (["/etc/hostname"], "StartError|RunContainerError", "permission denied"),
    ],
)
def test_a_program_that_cannot_start(kubectl: Kubectl, command: list[str], reason: str, message: str) -> None:
    kubectl.apply(pod("broken", container(command)))
    kubectl.event(f"Warning +Failed +Pod +broken +.*{message}")
    until(lambda: re.search(rf"broken +0/1 +({reason}|CrashLoopBackOff) ", kubectl("get", "pod", "broken")), reason)


def test_references_to_nothing(kubectl: Kubectl) -> None:
    absent = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "a"}}}]
    kubectl.apply(
        pod("noenv", container(FOREVER, env=absent)),
        pod(
            "novolume",
            container(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            volumes=[{"name": "v", "secret": {"secretName": "absent"}}],
        ),
    )
    until(lambda: "CreateContainerConfigError" in kubectl("get", "pod", "noenv"))
    kubectl.event('Warning +Failed +Pod +noenv +Error: configmap "absent" not found')
    kubectl.event(
        'Warning +FailedMount +Pod +novolume +MountVolume.SetUp failed for volume "v" : secret "absent" not found'
    )
    kubectl("create", "configmap", "absent", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "absent", "--from-literal=a=1")
    kubectl.ready("noenv", "novolume", seconds=60)
