"""What pods are promised of the lives of their containers, and of what kubectl does to them."""

from __future__ import annotations

import re

from kubectl import Kubectl
from manifests import FOREVER, container, pod, shell
from tier_features import Feature, Look, Seen, by_its_end, checked


def _restarts() -> Feature:
    main = container(
        shell("[ -e /v/once ] || { touch /v/once; exit 1; }"), volumeMounts=[{"name": "v", "mountPath": "/v"}]
    )
    made = pod("again", main, restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}])
    return Feature(
        "restartPolicy",
        "again",
        (made,),
        lambda _, seen: (seen.phase == "Succeeded" and seen.status["restartCount"] == 1) or None,
    )


def _in_order() -> Feature:
    """An init container, a sidecar, another init container that needs it, and the main one that needs all of them."""
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    made = pod(
        "ordered",
        container(shell('[ "$(cat /v/order)" = "one sidecar two " ]'), **mount),
        initContainers=[
            container(shell('printf "one " >> /v/order'), "one", **mount),
            container(
                shell('printf "sidecar " >> /v/order; exec sleep infinity'),
                "sidecar",
                restartPolicy="Always",
                startupProbe={"exec": {"command": ["grep", "-q", "sidecar", "/v/order"]}, "periodSeconds": 1},
                **mount,
            ),
            container(shell('printf "two " >> /v/order'), "two", **mount),
        ],
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="Never",
    )
    return Feature("init containers in order, sidecars, startup probes", "ordered", (made,))


LOOKS = {
    "exec": {"command": ["test", "!", "-e", "/tmp/broken"]},
    "periodSeconds": 1,
    "timeoutSeconds": 30,
    "failureThreshold": 1,
}
"""A probe that fails for what it sees, never for how long that takes."""


def _last(seen: Seen) -> tuple[str, int] | None:
    """Message and exit code of a container that was ended for its probe, and runs again."""
    ended = (seen.status.get("lastState") or {}).get("terminated")
    return (str(ended.get("message", "")), int(ended["exitCode"])) if ended else None


def _ends_in_order() -> Feature:
    """First the hook, then SIGTERM, then it may finish."""
    script = "trap 'printf term >> /dev/termination-log; exit 3' TERM; touch /tmp/broken; sleep infinity & wait"
    hook = {"preStop": {"exec": {"command": shell("printf 'hook ' >> /dev/termination-log")}}}
    made = pod("asked", container(shell(script), lifecycle=hook, livenessProbe=LOOKS), terminationGracePeriodSeconds=20)
    text = "lifecycle.preStop, then SIGTERM, then its own exit code"
    return Feature(text, "asked", (made,), lambda _, seen: _last(seen) == ("hook term", 3) if _last(seen) else None)


def _does_not_hear() -> Feature:
    script = "trap '' TERM; touch /tmp/broken; while :; do sleep 1; done"
    made = pod("deaf", container(shell(script), livenessProbe=LOOKS))
    text = "SIGKILL after terminationGracePeriodSeconds"
    return Feature(text, "deaf", (made,), lambda _, seen: _last(seen) == ("", 137) if _last(seen) else None)


def _liveness() -> Feature:
    made = pod("sick", container(shell("touch /tmp/broken; exec sleep infinity"), livenessProbe=LOOKS))
    return Feature(
        "liveness probes by exec: what fails is started again",
        "sick",
        (made,),
        lambda _, seen: seen.status.get("restartCount", 0) > 0 or None,
    )


def _logs(kubectl: Kubectl, seen: Seen) -> bool | None:
    return sorted(kubectl("logs", "said").split()) == ["one", "two"] if seen.ended else None


def _shell() -> dict[str, object]:
    own = container(
        shell("python3 -m http.server --directory /v --bind 127.0.0.1 8080 & echo words > /v/words; wait"),
        env=[{"name": "WORD", "value": "known"}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    return pod("shell", own, volumes=[{"name": "v", "emptyDir": {}}])


def _when_running(look: Look) -> Look:
    return lambda kubectl, seen: look(kubectl, seen) if seen.phase == "Running" else None


@_when_running
def _exec(kubectl: Kubectl, _: Seen) -> bool | None:
    script = "cat /v/words; echo $WORD; python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:8080/words\").read())'"
    done = kubectl.run("exec", "shell", "--", *shell(script))
    return done.stdout == "words\nknown\nb'words\\n'\n" or None


@_when_running
def _copy(kubectl: Kubectl, _: Seen) -> bool | None:
    source = kubectl.system.home / "copied"
    source.write_text("there and back")
    kubectl("cp", str(source), "shell:/v/copied")
    return kubectl("exec", "shell", "--", "cat", "/v/copied") == "there and back"


def _attach(kubectl: Kubectl, seen: Seen) -> bool | None:
    """It reads one word and ends, and kubectl with it."""
    if seen.phase == "Running":
        kubectl.run("attach", "listens", "-i", stdin="word\n")
    return by_its_end(kubectl, seen)


@_when_running
def _debug(kubectl: Kubectl, seen: Seen) -> bool | None:
    if not seen.pod["spec"].get("ephemeralContainers"):
        kubectl(
            "debug",
            "debugged",
            f"--image={seen.pod['spec']['containers'][0]['image']}",
            "-c",
            "look",
            "--",
            "sh",
            "-c",
            "exit 0",
        )
    states = [each["state"] for each in seen.pod["status"].get("ephemeralContainerStatuses") or ()]
    return any((state.get("terminated") or {}).get("exitCode") == 0 for state in states) or None


@_when_running
def _top(kubectl: Kubectl, _: Seen) -> bool | None:
    done = kubectl.run("top", "pod", "shell", "--containers", "--no-headers")
    return bool(re.search(r"shell +main +\d+m +[1-9]\d*Mi", done.stdout)) or None


def _together() -> dict[str, object]:
    sees = container(
        shell("until grep -qa [n]eighbour-of-mine /proc/[0-9]*/cmdline 2> /dev/null; do sleep 0.1; done; echo seen")
    )
    other = container(["bash", "-c", "exec -a neighbour-of-mine sleep 60"], "other")
    return pod("together", sees, other, shareProcessNamespace=True, restartPolicy="Never")


def _saw(_: Kubectl, seen: Seen) -> bool | None:
    """The one that looks; its neighbour goes on."""
    return seen.ended["exitCode"] == 0 if seen.ended else None


def _no_stranger() -> Feature:
    """One pod looks for a process of another, and if it can see it tries to signal it."""
    prey = container(["bash", "-c", "exec -a prey-of-the-quiet sleep 60"])
    script = """
import glob, os, time
for _ in range(40):
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if b"prey-of-the-" b"quiet" in open(path, "rb").read():
                os.kill(int(path.split("/")[2]), 0)
                raise SystemExit("it could be signalled")
        except OSError:
            pass
    time.sleep(0.1)
"""
    hunter = pod("quiet", container(["python3", "-c", script]), restartPolicy="Never")
    objects = (pod("prey", prey, restartPolicy="Never"), hunter)
    return Feature(
        "processes of other pods cannot be signalled",
        "quiet",
        objects,
        told="pods may signal and look into one another's processes",
        depends={"proc": "with Linux 6.12, else no"},
    )


FEATURES = (
    checked("code", "exit codes", "exit 7", look=lambda _, seen: seen.ended.get("exitCode") == 7 or None),
    _restarts(),
    _in_order(),
    checked(
        "hooked",
        "lifecycle.postStart",
        "until [ -e /tmp/hooked ]; do sleep 0.05; done",
        main={"lifecycle": {"postStart": {"exec": {"command": ["touch", "/tmp/hooked"]}}}},
    ),
    _ends_in_order(),
    _does_not_hear(),
    _liveness(),
    checked("said", "kubectl logs", "echo one; echo two >&2", look=_logs),
    Feature("kubectl exec: the same files, network and environment", "shell", (_shell(),), _exec),
    Feature("kubectl cp", "shell", (), _copy),
    Feature(
        "kubectl attach, stdin",
        "listens",
        (pod("listens", container(shell("read word; [ $word = word ]"), stdin=True), restartPolicy="Never"),),
        _attach,
    ),
    checked("terminal", "tty", "[ -t 0 ]; [ -t 1 ]; tty > /dev/null", main={"tty": True, "stdin": True}),
    Feature("kubectl debug: ephemeral containers", "debugged", (pod("debugged", container(FOREVER)),), _debug),
    Feature("kubectl top: CPU and memory of containers", "shell", (), _top),
    Feature("shareProcessNamespace", "together", (_together(),), _saw),
    checked(
        "alone",
        "a pod sees its own processes only",
        "[ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ]",
        told="processes of all pods see one another",
    ),
    _no_stranger(),
    Feature(
        "activeDeadlineSeconds",
        "late",
        (pod("late", container(FOREVER), activeDeadlineSeconds=1),),
        lambda _, seen: seen.pod.get("status", {}).get("reason") == "DeadlineExceeded" or None,
    ),
)
