"""kubectl with a running pod: logs, exec, attach, cp and port-forward, with each release there is."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

import pytest
from kubectl import Kubectl
from manifests import FOREVER, container, deployment, pod, program, service, shell, web
from terminal import Terminal
from wherry_system import PATIENCE, until


def test_logs(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(
        pod(
            "two",
            container(
                shell("for i in 1 2 3 4 5; do echo line $i; done; echo to stderr >&2; exec sleep infinity"), "first"
            ),
            container(shell("echo hello from second; exec sleep infinity"), "second"),
            labels={"app": "two"},
        )
    )
    kubectl.ready("two")
    whole = "line 1\nline 2\nline 3\nline 4\nline 5\nto stderr\n"
    assert until(lambda: kubectl("logs", "two", "-c", "first") == whole, "all lines")
    assert kubectl("logs", "two", "-c", "first", "--tail=2") == "line 5\nto stderr\n"
    assert kubectl("logs", "two", "-c", "first", "--limit-bytes=6") == "line 1"
    assert kubectl("logs", "two", "-c", "first", "--since=1h") == whole
    assert kubectl("logs", "two", "-c", "first", "--since-time=2999-01-01T00:00:00Z") == ""
    assert re.match(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 1\n", kubectl("logs", "two", "-c", "first", "--timestamps")
    )
    assert kubectl.run("logs", "two").stdout == whole  # the first container, with a hint
    until(lambda: "hello from second" in kubectl("logs", "two", "--all-containers"), "the second one's too")
    merged = kubectl("logs", "-l", "app=two", "--all-containers", "--prefix", "--tail=-1")
    assert "[pod/two/second] hello from second\n" in merged
    assert "container third is not valid for pod two" in kubectl.fails("logs", "two", "-c", "third")
    assert 'pods "three" not found' in kubectl.fails("logs", "three")


def test_logs_are_followed_across_the_end(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    script = "n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); echo count $n; sleep 0.05; done; echo last words; exit 3"
    kubectl.apply(pod("talks", container(shell(script)), restartPolicy="Never"))
    kubectl.ready("talks")
    with kubectl.start("logs", "-f", "talks") as follow:
        follow.line("count 1$")
        follow.line("count 3$")
        kubectl.run("exec", "talks", "--", "touch", "/tmp/end")  # it may be killed with its container
        follow.line("last words")
        assert follow.end() == 0
    kubectl.wait("pod/talks", "jsonpath={.status.phase}=Failed")
    assert kubectl("logs", "talks", "--tail=1") == "last words\n"
    assert kubectl.path_of("{.status.containerStatuses[0].state.terminated.exitCode}", "pod/talks") == "3"


def test_logs_of_the_container_before(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    twice = shell("[ -e /d/seen ] && exec sleep infinity; touch /d/seen; echo my first life; exit 1")
    main = container(twice, volumeMounts=[{"name": "d", "mountPath": "/d"}])
    kubectl.apply(pod("again", main, volumes=[{"name": "d", "emptyDir": {}}]))
    kubectl.wait("pod/again", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    kubectl.ready("again")
    assert kubectl("logs", "again", "--previous") == "my first life\n"
    assert kubectl("logs", "again") == ""
    assert 'previous terminated container "main" in pod "calm" not found' in _previous_of_a_calm_one(kubectl)


def _previous_of_a_calm_one(kubectl: Kubectl) -> str:
    kubectl.apply(pod("calm", container(FOREVER)))
    kubectl.ready("calm")
    return kubectl.fails("logs", "calm", "--previous")


def test_exec(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("one", container(FOREVER, env=[{"name": "COLOUR", "value": "blue"}])))
    kubectl.ready("one")
    assert kubectl("exec", "one", "--", "printenv", "COLOUR", "HOSTNAME") == "blue\none\n"
    done = kubectl.run("exec", "one", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 7\n"
    big = "x" * 300_000
    assert kubectl("exec", "-i", "one", "--", "cat", stdin=big) == big
    assert kubectl("exec", "-i", "one", "--", "wc", "-c", stdin="12345").strip() == "5"
    assert len(kubectl("exec", "one", "--", "head", "-c", "3000000", "/dev/zero")) == 3_000_000
    missing = kubectl.run("exec", "one", "--", "nosuchprogram")
    assert (missing.returncode, "executable file not found in $PATH" in missing.stderr) == (1, True) or (
        missing.returncode == 127 or missing.returncode == 126
    )
    assert "container nothere is not valid for pod one" in kubectl.fails("exec", "one", "-c", "nothere", "--", "true")
    assert 'pods "two" not found' in kubectl.fails("exec", "two", "--", "true")


def test_exec_on_a_terminal_that_is_resized(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("one", container(FOREVER)))
    kubectl.ready("one")
    command = [kubectl.path, "-n", kubectl.namespace, "exec", "-it", "one", "--", "sh"]
    with Terminal(command, kubectl.system.environment(), rows=30, columns=100) as terminal:
        terminal.type("tty; until [ \"$(stty size)\" = '30 100' ]; do :; done; echo it is $(stty size)\n")
        terminal.shows("/dev/pts/0")
        terminal.shows("it is 30 100")
        terminal.resize(41, 123)
        terminal.type("until [ \"$(stty size)\" = '41 123' ]; do :; done; echo now $(stty size)\n")
        terminal.shows("now 41 123")
        terminal.type("cat\n")
        terminal.type("echoed\n")
        terminal.shows("(?s)echoed.*echoed")
        terminal.type("\x03")
        terminal.shows("# ")
        terminal.type("exit 5\n")
        assert terminal.end() == 5


def test_attach(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    echo = shell("echo began; while read line; do echo got $line; done; echo stdin closed; exec sleep infinity")
    kubectl.apply(pod("one", container(echo, stdin=True, stdinOnce=True)))
    kubectl.ready("one")
    with kubectl.start("attach", "-i", "one") as attached:
        assert attached.process.stdin is not None
        attached.process.stdin.write("hello\n")
        attached.process.stdin.flush()
        attached.line("got hello")
        attached.process.stdin.close()
        attached.line("stdin closed")
    assert kubectl("logs", "one") == "began\ngot hello\nstdin closed\n"


def test_run_interactively(kubectl: Kubectl) -> None:
    done = kubectl.run(
        "run", "-i", "--rm", "--restart=Never", "--image=wherry.dev/host:v1", "--quiet", "calc", "--",
        "sh", "-c", "read a; echo answer $((a + 1)); exit 4", stdin="41\n",
    )  # fmt: skip
    assert ("answer 42" in done.stdout, done.returncode) == (True, 4)
    until(lambda: kubectl.run("get", "pod", "calc").returncode == 1, "the pod is removed")


def test_cp_there_and_back(each_kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("one", container(FOREVER)))
    kubectl.ready("one")
    there, back = tmp_path / "there", tmp_path / "back"
    (there / "sub").mkdir(parents=True)
    (there / "small.txt").write_text("small\n")
    (there / "sub" / "large.bin").write_bytes(bytes(range(256)) * 8192)
    kubectl("cp", str(there), "one:/tmp/there")
    assert kubectl("exec", "one", "--", "cat", "/tmp/there/small.txt") == "small\n"
    kubectl("cp", f"{kubectl.namespace}/one:/tmp/there", str(back))
    assert (back / "sub" / "large.bin").read_bytes() == (there / "sub" / "large.bin").read_bytes()
    kubectl("cp", str(there / "small.txt"), "one:/tmp/renamed.txt", "-c", "main")
    kubectl("cp", "one:/tmp/renamed.txt", str(tmp_path / "renamed.txt"))
    assert (tmp_path / "renamed.txt").read_text() == "small\n"


@pytest.mark.parametrize("target", ["pod", "deployment", "service"])
def test_port_forward(each_kubectl: Kubectl, target: str) -> None:
    kubectl = each_kubectl
    kubectl.apply(
        deployment("web", web(ports=[{"name": "http", "containerPort": 8080}])),
        service("web", {"port": 80, "targetPort": "http"}),
    )
    kubectl.wait("deployment/web", "condition=Available")
    name = kubectl.path_of("{.items[0].metadata.name}", "pods", "-l", "app=web")
    what, port = {
        "pod": (f"pod/{name}", "8080"),
        "deployment": ("deployment/web", "8080"),
        "service": ("service/web", "80"),
    }[target]
    with kubectl.start("port-forward", "--address=127.0.0.1", what, f":{port}") as forward:
        local = re.search(r"127\.0\.0\.1:(\d+)", forward.line("Forwarding from 127.0.0.1:"))
        assert local is not None
        url = f"http://127.0.0.1:{local[1]}/"
        for _ in range(3):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert answer.read().decode() == f"web {name}\n"


def test_port_forward_reaches_what_only_listens_inside(kubectl: Kubectl) -> None:
    kubectl.apply(pod("inner", container(program("reverse"))))
    kubectl.ready("inner")
    until(lambda: "listens" in kubectl("logs", "inner"))
    with kubectl.start("port-forward", "inner", ":7000", ":7001") as forward:
        ports = [_port(forward.line(rf"127.0.0.1.* {port}")) for port in (7000, 7001)]
        with socket.create_connection(("127.0.0.1", ports[0]), PATIENCE) as connection:
            connection.sendall(b"forward")
            assert connection.recv(10) == b"drawrof"
        with socket.create_connection(("127.0.0.1", ports[1]), PATIENCE) as connection:
            assert connection.recv(10) == b""
        forward.line("error.*|lost connection.*")


def _port(line: str) -> int:
    return int(line.split(" -> ")[0].rpartition(":")[2])
