"""Who reaches whom: pods, Services of every type, names, node ports, the API, the machine and the world outside."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from kubectl import Kubectl
from manifests import FOREVER, container, deployment, node_port, pod, program, service, shell, web
from wherry_system import until


def _fetch(kubectl: Kubectl, source: str, url: str) -> str:
    return kubectl("exec", source, "--", *program("fetch", url))


def _dns(kubectl: Kubectl, name: str, kind: str = "A") -> list[str]:
    return kubectl("exec", "client", "--", *program("dns", name, kind)).split("\n")[:-1]


def _ips(kubectl: Kubectl, app: str) -> list[str]:
    return sorted(kubectl.path_of("{.items[*].status.podIP}", "pods", "-l", f"app={app}").split())


@pytest.fixture
def shop(kubectl: Kubectl) -> Kubectl:
    """Deployment and Service `cart` of two pods, and a pod `client`; the Service works."""
    kubectl.apply(
        deployment("cart", web("cart", ports=[{"name": "http", "containerPort": 8080}]), replicas=2),
        service("cart", {"name": "http", "port": 80, "targetPort": "http"}),
        pod("client", container(FOREVER)),
    )
    kubectl.wait("deployment/cart", "condition=Available")
    kubectl.wait("deployment/cart", "jsonpath={.status.readyReplicas}=2")
    kubectl.ready("client")
    until(lambda: _reached(kubectl, "http://cart/", 20) == set(_names(kubectl, "cart")), "both pods behind the Service")
    return kubectl


def _reached(kubectl: Kubectl, url: str, times: int) -> set[str]:
    """Who answers, asked so many times from the client."""
    return set(kubectl("exec", "client", "--", *program("fetch", url, str(times))).splitlines())


def _names(kubectl: Kubectl, app: str) -> list[str]:
    return kubectl.path_of("{.items[*].metadata.name}", "pods", "-l", f"app={app}").split()


def test_services_by_every_name(shop: Kubectl) -> None:
    namespace = shop.namespace
    for name in ("cart", f"cart.{namespace}", f"cart.{namespace}.svc", f"cart.{namespace}.svc.cluster.local"):
        assert _fetch(shop, "client", f"http://{name}/").startswith("cart cart-")
    address = shop.path_of("{.spec.clusterIP}", "service/cart")
    assert _dns(shop, f"cart.{namespace}.svc.cluster.local") == [address]
    assert _dns(shop, f"_http._tcp.cart.{namespace}.svc.cluster.local", "SRV") == [
        f"80 cart.{namespace}.svc.cluster.local"
    ]
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert _dns(shop, reverse, "PTR") == [f"cart.{namespace}.svc.cluster.local"]
    assert _dns(shop, f"nothing.{namespace}.svc.cluster.local") == ["NXDOMAIN"]
    assert _dns(shop, "kubernetes.default.svc.cluster.local") == ["10.96.0.1"]
    assert shop("exec", "client", "--", "getent", "ahostsv4", "cart").split()[0] == address


def test_addresses_of_another_range(shop: Kubectl) -> None:
    """A ServiceCIDR beside --service-cidr works like it, and ends with its last Service."""
    version, address = shop("api-resources", "--api-group=networking.k8s.io"), "10.97.77.7"
    if "servicecidrs" not in version:
        pytest.skip("from Kubernetes 1.33 on")
    spec = {"cidrs": ["10.97.77.0/24"]}
    shop.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"}, "spec": spec}
    )
    shop.wait("servicecidr/more", "condition=Ready")
    ports = {"name": "http", "port": 80, "targetPort": "http"}
    shop.apply(service("far", ports, selector={"app": "cart"}, clusterIP=address))
    until(lambda: _reached(shop, "http://far/", 20) == set(_names(shop, "cart")), "both pods at the address")
    assert _dns(shop, f"far.{shop.namespace}.svc.cluster.local") == [address]
    until(lambda: shop.run("get", "ipaddress", address).returncode == 0, "its IPAddress")
    shop("delete", "servicecidr/more", "--wait=false")
    reason = "{.status.conditions[?(@.type=='Ready')].reason}"
    until(lambda: shop.path_of(reason, "servicecidr/more") == "Terminating", "it is held")
    shop("delete", "service/far")
    until(lambda: shop.run("get", "servicecidr/more").returncode != 0, "it is gone, after its grace")


def test_the_caller_is_seen_as_itself(shop: Kubectl) -> None:
    [own] = _ips(shop, "client")
    [one, two] = _ips(shop, "cart")
    assert _fetch(shop, "client", f"http://{one}:8080/peer").strip() == own
    assert _fetch(shop, "client", "http://cart/peer").strip() == own
    # A pod reaches itself through its own Service too; whom it sees then is the node.
    [first, _] = _names(shop, "cart")
    assert until(lambda: _fetch(shop, first, "http://cart/").split()[1] == first, "itself")
    assert one != two


def test_headless_services_answer_with_pods(shop: Kubectl) -> None:
    shop.apply(service("each", {"name": "http", "port": 8080}, clusterIP="None", selector={"app": "cart"}))
    name = f"each.{shop.namespace}.svc.cluster.local"
    until(lambda: _dns(shop, name) == _ips(shop, "cart"), "both addresses")
    assert all(each.startswith("8080 ") and each.endswith(name) for each in _dns(shop, f"_http._tcp.{name}", "SRV"))
    assert _fetch(shop, "client", "http://each:8080/").startswith("cart cart-")
    shop("scale", "deployment/cart", "--replicas=1")
    until(lambda: len(_dns(shop, name)) == 1, "one address")


def test_endpoints_follow_readiness(shop: Kubectl) -> None:
    [first, second] = _names(shop, "cart")
    shop("exec", first, "--", "touch", "/tmp/broken")
    until(lambda: _ready_endpoints(shop, "cart") == {first: False, second: True}, "the slice says who is ready")
    until(lambda: _reached(shop, "http://cart/", 20) == {second}, "only the ready one")
    shop("exec", first, "--", "rm", "/tmp/broken")
    until(lambda: _reached(shop, "http://cart/", 20) == {first, second}, "both again")


def _ready_endpoints(shop: Kubectl, service: str) -> dict[str, bool]:
    """Of each pod of a Service, whether its EndpointSlices call it ready."""
    slices = shop.json("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
    return {each["targetRef"]["name"]: each["conditions"]["ready"] for item in slices for each in item["endpoints"]}


def test_a_service_without_endpoints_refuses(shop: Kubectl) -> None:
    shop("scale", "deployment/cart", "--replicas=0")
    until(lambda: any("refused" in each for each in _reached(shop, "http://cart/", 1)), "refused")


def test_session_affinity(shop: Kubectl) -> None:
    shop("patch", "service", "cart", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    until(lambda: len(_reached(shop, "http://cart/", 20)) == 1, "always the same pod")


def test_node_ports_from_the_machine_and_from_pods(shop: Kubectl) -> None:
    wanted = node_port("cart")
    shop.apply(wanted)
    port = int(shop.path_of("{.spec.ports[0].nodePort}", "service/cart"))
    assert [port] == [each["nodePort"] for each in wanted["spec"]["ports"]]

    def answers(address: str) -> str | None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}:{port}/", timeout=30) as answer:
            text: str = answer.read().decode().split()[1]
            return text
        return None

    until(lambda: answers("127.0.0.1"), "the node port answers")
    assert {answers("127.0.0.1") for _ in range(30)} == set(_names(shop, "cart"))
    for other in _other_addresses():
        assert answers(other)
    node = shop.path_of("{.items[0].status.addresses[?(@.type=='InternalIP')].address}", "nodes")
    until(lambda: _reached(shop, f"http://{node}:{port}/", 20) == set(_names(shop, "cart")), "it answers pods")
    shop("delete", "service", "cart")
    until(lambda: answers("127.0.0.1") is None, "the port is closed")


def _other_addresses() -> list[str]:
    """Addresses of this machine that are not loopback."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    return [each for each in found if ":" not in each]


def test_udp_services(kubectl: Kubectl) -> None:
    kubectl.apply(
        deployment("echo", container(program("udp_echo")), replicas=1),
        service("echo", {"port": 53, "targetPort": 8080, "protocol": "UDP"}),
        pod("client", container(FOREVER)),
    )
    kubectl.wait("deployment/echo", "condition=Available")
    kubectl.ready("client")
    answer = until(lambda: kubectl.run("exec", "client", "--", *program("udp_ask", "echo", "53")).stdout, "an answer")
    assert answer.endswith(" hi\n")


def test_external_names(kubectl: Kubectl) -> None:
    external = service("db", {"port": 80}, type="ExternalName", externalName="kubernetes.default.svc.cluster.local")
    external["spec"].pop("selector")
    kubectl.apply(external, pod("client", container(FOREVER)))
    kubectl.ready("client")
    name = f"db.{kubectl.namespace}.svc.cluster.local"
    until(lambda: "kubernetes.default.svc.cluster.local" in _dns(kubectl, name, "CNAME"), "the alias")
    assert kubectl("exec", "client", "--", "getent", "ahostsv4", "db").split()[0] == "10.96.0.1"


def test_pods_reach_the_api(kubectl: Kubectl) -> None:
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={kubectl.namespace}:default")
    script = """
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
headers = {"Authorization": "Bearer " + open(f"{folder}/token").read()}
namespace = open(f"{folder}/namespace").read()
for host in ("kubernetes.default.svc", os.environ["KUBERNETES_SERVICE_HOST"]):
    url = f"https://{host}/api/v1/namespaces/{namespace}/pods"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=context, timeout=30) as answer:
        print([each["metadata"]["name"] for each in json.load(answer)["items"]])
try:
    urllib.request.urlopen(urllib.request.Request(url.replace("pods", "secrets"), headers=headers), context=context)
except urllib.error.HTTPError as error:
    print(error.code)
"""
    kubectl.apply(pod("asks", container(["python3", "-c", script]), restartPolicy="Never"))
    kubectl.wait("pod/asks", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("logs", "asks") == "['asks']\n['asks']\n403\n"


@contextlib.contextmanager
def _server(address: str) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the machine")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def test_pods_reach_the_machine_and_the_world_outside(kubectl: Kubectl) -> None:
    kubectl.apply(pod("client", container(FOREVER)))
    kubectl.ready("client")
    with _server("127.0.0.1") as port:
        assert _fetch(kubectl, "client", f"http://host.wherry.internal:{port}/") == "from the machine"
    others = _other_addresses()
    for other in others:
        with _server(other) as port:
            assert _fetch(kubectl, "client", f"http://{other}:{port}/") == "from the machine"
    if not others:
        pytest.skip("this machine has no address but loopback: only that was tried")


def test_a_pod_sees_only_itself(kubectl: Kubectl) -> None:
    kubectl.apply(pod("alone", container(FOREVER)), pod("other", container(shell("exec -a neighbour sleep 1000"))))
    kubectl.ready("alone")
    links = kubectl("exec", "alone", "--", "cat", "/proc/net/dev")
    assert sorted(line.split(":")[0].strip() for line in links.splitlines()[2:]) == ["eth0", "lo"]
    assert "control-plane" not in kubectl("exec", "alone", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    own = kubectl.system
    listening = kubectl.run(
        "exec", "alone", "--", "python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {own.port}), 2)"
    )
    assert "refused" in listening.stderr


def test_the_dns_server_forwards_what_is_not_ours(kubectl: Kubectl) -> None:
    """Whatever the machine itself can resolve; a name that cannot exist comes back as such, not as a timeout."""
    kubectl.apply(pod("client", container(FOREVER)))
    kubectl.ready("client")
    done = kubectl.run("exec", "client", "--", "getent", "ahostsv4", "no-such-name.invalid")
    assert done.returncode == 2
