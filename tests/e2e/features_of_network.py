"""What pods are promised of the network."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Iterator

from kubectl import Kubectl
from manifests import FOREVER, container, deployment, node_port, pod, program, service, web
from tier_features import Feature, Seen, checked
from wherry_system import PATIENCE

FETCH = r"""
fetch() { python3 -c '
import sys, time, urllib.request
for left in range(500, -1, -1):
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode(), end="")
        break
    except OSError:
        if not left:
            raise
        time.sleep(0.2)' "$1"; }
"""
OWN_LOOPBACK = r"""
import os, socket, threading, time
sock = socket.socket()
sock.bind(("127.0.0.1", 7007))
sock.listen()
def serve():
    while True:
        client, _ = sock.accept()
        client.sendall(os.uname().nodename.encode())
        client.close()
threading.Thread(target=serve, daemon=True).start()
for _ in range(15):
    with socket.create_connection(("127.0.0.1", 7007)) as client:
        assert client.recv(99).decode() == os.uname().nodename
    time.sleep(0.1)
"""
IP = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def _web() -> tuple[dict[str, object], ...]:
    return (deployment("web", web("web"), replicas=2), service("web"))


def _web_is_ready(kubectl: Kubectl, _: Seen) -> bool | None:
    return kubectl.path_of("{.status.readyReplicas}", "deployment", "web") == "2" or None


def _resolve(name: str, count: int) -> str:
    return f"""python3 -c '
import socket, time
for _ in range(500):
    try:
        found = {{each[4][0] for each in socket.getaddrinfo("{name}", 80, type=socket.SOCK_STREAM)}}
        assert len(found) == {count}
        break
    except (OSError, AssertionError):
        time.sleep(0.2)
else:
    raise SystemExit(1)'"""


def _script(name: str, arguments: str) -> str:
    text = program(name)[3].replace("'", "'\\''")
    return f"python3 -c '{text}' {arguments} 2> /dev/null"


def _own_loopback(name: str) -> Feature:
    """Two of them at the same time."""
    return Feature(
        "127.0.0.1 is the pod's own",
        name,
        (pod(name, container(["python3", "-c", OWN_LOOPBACK]), restartPolicy="Never"),),
    )


def _shared_loopback() -> Feature:
    asks = container(["sh", "-c", FETCH + "fetch http://127.0.0.1:8080/ | grep -q '^side '"])
    serves = container(program("web", "side"), "side", restartPolicy="Always")
    made = pod("side-by-side", asks, initContainers=[serves], restartPolicy="Never")
    return Feature("containers of a pod share 127.0.0.1", "side-by-side", (made,))


def _interfaces() -> int:
    """Of the machine, with the two lines above them."""
    with open("/proc/net/dev") as lines:
        return len(list(lines))


def _node_port_answers(kubectl: Kubectl, _: Seen) -> bool | None:
    port = kubectl.path_of("{.spec.ports[0].nodePort}", "service", "outside")
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
        return bool(answer.read().startswith(b"web web-"))
    return None


@contextlib.contextmanager
def _forwarded(kubectl: Kubectl) -> Iterator[str]:
    with kubectl.start("port-forward", "deployment/web", ":8080") as forward:
        yield forward.line(r"Forwarding from 127\.0\.0\.1:\d+").split()[2].rpartition(":")[2]


def _port_forward(kubectl: Kubectl, _: Seen) -> bool | None:
    if not kubectl.path_of("{.status.readyReplicas}", "deployment", "web"):
        return None
    with _forwarded(kubectl) as port, socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"200 OK" in sock.recv(4096)


SHELL = pod("shell", container(FOREVER))


UDP = service("udp", {"port": 53, "targetPort": 8080, "protocol": "UDP"})
FEATURES = (
    Feature("several pods listen on the same port; readiness by HTTP", "", _web(), _web_is_ready),
    checked(
        "by-address",
        "Services have an address that leads to ready pods",
        "until getent hosts web; do sleep 0.2; done; "
        + FETCH
        + 'fetch "http://$(getent hosts web | cut -d" " -f1)/" | grep -q "^web web-"',
    ),
    checked(
        "by-name",
        "names are completed for the pod's own namespace (DNS search path)",
        FETCH + 'fetch http://web/ | grep -q "^web web-"',
    ),
    checked(
        "resolves",
        "headless Services resolve to pods",
        _resolve("headless", 2),
        more=(service("headless", clusterIP="None", selector={"app": "web"}),),
    ),
    checked(
        "datagrams",
        "Services by UDP",
        f"for i in $(seq 100); do {_script('udp_ask', 'udp 53')} | grep -q hi && exit 0; sleep 0.2; done; exit 1",
        more=(UDP, pod("udp", container(program("udp_echo")))),
    ),
    Feature("kubectl port-forward", "", (), _port_forward),
    _own_loopback("loopback-a"),
    _own_loopback("loopback-b"),
    _shared_loopback(),
    checked(
        "caller",
        "accept() shows the pod that calls",
        FETCH + '[ "$(fetch http://callee/peer)" = "$IP" ]',
        main={"env": [IP]},
        told="accept() names callers by addresses of the loopback network",
        more=(service("callee"), pod("callee", web("callee"))),
    ),
    checked(
        "host-port",
        "hostPort",
        "exit 1",
        asks="ports.hostPort",
        main={"ports": [{"containerPort": 80, "hostPort": 38080}]},
    ),
    checked(
        "host-network",
        "hostNetwork",
        f"cut -d: -f1 /proc/net/dev | grep -c . | grep -qx {_interfaces()}; [ $IP = $HOST ]",
        hostNetwork=True,
        main={"env": [IP, {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]},
    ),
    checked(
        "own-interfaces",
        "a pod sees its own interfaces only",
        "cut -d: -f1 /proc/net/dev | grep -c . | grep -qx 4",
        told="interfaces",
    ),
    checked(
        "aliases",
        "hostAliases, dnsConfig",
        "getent hosts old.example | grep -q ^10.0.0.9; grep -q '^search .*example.test' /etc/resolv.conf",
        hostAliases=[{"ip": "10.0.0.9", "hostnames": ["old.example"]}],
        dnsConfig={"searches": ["example.test"]},
    ),
    checked(
        "named",
        "hostname, subdomain",
        "[ $(hostname) = given ]; grep -q given.group. /etc/hosts",
        hostname="given",
        subdomain="group",
    ),
    checked(
        "filtered",
        "NetworkPolicies",
        FETCH + "if fetch http://web/; then exit 1; fi",
        asks="networkPolicy",
        more=(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "nowhere"},
                "spec": {"podSelector": {"matchLabels": {"app": "filtered"}}, "policyTypes": ["Egress"]},
            },
        ),
    ),
    checked(
        "sysctl",
        "sysctls",
        "grep -qx '1024.32000' /proc/sys/net/ipv4/ip_local_port_range",
        securityContext={"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 32000"}]},
    ),
)


def made_for(api_port: int) -> tuple[Feature, ...]:
    """Those that depend on what is free on the machine; `api_port` is listened on."""
    outside = node_port("outside")
    outside["spec"]["selector"] = {"app": "web"}
    script = f"python3 -c \"import socket; socket.create_connection(('host.wherry.internal', {api_port}), 60)\""
    return (
        Feature("NodePort Services, from the machine", "", (outside,), _node_port_answers),
        checked("to-machine", "the machine is reached as host.wherry.internal", script),
    )
