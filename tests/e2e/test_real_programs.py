"""Programs that nobody prepared for tier `proc`: two of each side by side on one port, found by name, with files of a ConfigMap.

Static Go is kubectl itself, as a server (`kubectl proxy`) and as a client. What the machine lacks is skipped.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest
from kubectl import Kubectl
from manifests import FOREVER, Obj, container, deployment, pod, program, service, shell
from wherry_system import WherrySystem, until

NODE_SERVER = """
const http = require('http'), fs = require('fs'), os = require('os');
http.createServer((_, answer) => answer.end(fs.readFileSync('/srv/web/greeting') + os.hostname())).listen(8080);
"""
NODE_CLIENT = """
const http = require('http'), dgram = require('dgram'), dns = require('dns'), fs = require('fs');
http.get('http://node-js/', answer => answer.on('data', data => console.log('http', String(data))));
dns.resolve4(`node-js.${process.env.NAMESPACE}.svc.cluster.local`, (error, found) => console.log('c-ares', error || found[0]));
const server = fs.readFileSync('/etc/resolv.conf', 'utf8').match(/nameserver (.*)/)[1], socket = dgram.createSocket('udp4');
const name = ['kubernetes', 'default', 'svc', 'cluster', 'local'].map(word => String.fromCharCode(word.length) + word).join('');
const question = Buffer.from('\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0' + name + '\\0\\0\\1\\0\\1', 'latin1');
socket.on('message', (data, from) => {
  console.log('dgram', [...data.subarray(-4)].join('.'), from.address == server, from.port);
  socket.close();
});
socket.send(question, 53, server);
"""
NGINX = "server { listen 8080; root /srv/web; }"
WRITTEN_BY_NGINX = ("/var/log/nginx", "/var/lib/nginx")
CGI = "#!/bin/sh\necho; cat /srv/web/greeting; hostname\n"
UVICORN = """
import socket, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        text = open("/srv/web/greeting").read() + socket.gethostname()
        await send({"type": "http.response.body", "body": text.encode()})
uvicorn.run(app, host="0.0.0.0", port=8080, loop="uvloop", log_level="warning")
"""
OURS = "the Python that runs Wherry"
ENVIRONMENT = [
    {"name": "HOME", "value": "/tmp"},
    {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
]
GREETING = "from the config map "


@dataclass(frozen=True)
class Program:
    """`path` is what of it is served that says which pod answers; `client` gets the greeting in its own way."""

    name: str
    needs: str
    server: list[str]
    path: str = ""
    client: list[str] | None = None
    resolves: bool = False


PROGRAMS = [
    Program("node-js", "node", ["node", "/srv/web/server.js"], client=["node", "-e", NODE_CLIENT], resolves=True),
    Program("nginx", "nginx", ["nginx", "-g", "daemon off;"], "name"),
    Program(
        "busybox", "busybox", ["busybox", "httpd", "-f", "-p", "8080", "-h", "/srv/web"], "cgi-bin/who",
        shell("busybox wget -q -O - http://busybox/greeting; busybox nslookup busybox || true"), True,
    ),
    Program(
        "static-go", "kubectl",
        ["kubectl", "proxy", "--address=0.0.0.0", "--port=8080", "--accept-hosts=.*", "--www=/srv/web", "--www-prefix=/f/"],
        "f/name", ["kubectl", "--server=http://static-go", "get", "--raw=/f/greeting"],
    ),
    Program("cpython", "python3", ["python3", "-m", "http.server", "8080", "--directory", "/srv/web"], "name"),
    Program("uvloop", "python3", [OURS, "-c", UVICORN]),
]  # fmt: skip


def files() -> tuple[Obj, Obj]:
    """A ConfigMap, and the volume in which it lies beside the pod's name."""
    data = {"greeting": GREETING, "server.js": NODE_SERVER, "who": CGI}
    items = [{"key": "greeting", "path": "greeting"}, {"key": "server.js", "path": "server.js"}]
    cgi = [{"key": "who", "path": "cgi-bin/who", "mode": 0o755}]
    name = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    sources = [{"configMap": {"name": "files", "items": items + cgi}}, {"downwardAPI": {"items": [name]}}]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": data}
    return config, {"name": "web", "projected": {"sources": sources}}


@pytest.fixture
def only_proc(system: WherrySystem) -> None:
    """In the other tiers the kernel does all of it."""
    if system.tier.name != "proc":
        pytest.skip("is about tier proc")


@pytest.mark.usefixtures("only_proc")
@pytest.mark.parametrize("each", PROGRAMS, ids=lambda each: each.name)
def test_two_of_a_program_side_by_side(kubectl: Kubectl, each: Program) -> None:
    if shutil.which(each.needs) is None:
        pytest.skip(f"there is no {each.needs} on this machine")
    config, volume = files()
    mounts = [{"name": "web", "mountPath": "/srv/web"}]
    volumes = [volume]
    if each.name == "nginx":
        config["data"]["site.conf"] = NGINX
        mounts.append({"name": "site", "mountPath": "/etc/nginx/conf.d"})
        site = {"configMap": {"name": "files", "items": [{"key": "site.conf", "path": "site.conf"}]}}
        volumes.append({"name": "site", **site})
        for number, path in enumerate(WRITTEN_BY_NGINX):
            volumes.append({"name": f"written-{number}", "emptyDir": {}})
            mounts.append({"name": f"written-{number}", "mountPath": path})
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5}
    command = [kubectl.system.tier.python if word == OURS else word for word in each.server]
    main = container(command, volumeMounts=mounts, readinessProbe=probe, env=ENVIRONMENT)
    kubectl.apply(
        config,
        deployment(each.name, main, replicas=2, volumes=volumes),
        service(each.name),
        pod("client", container(FOREVER, env=ENVIRONMENT)),
    )
    kubectl.wait(f"deployment/{each.name}", "jsonpath={.status.readyReplicas}=2")
    kubectl.ready("client")
    names = kubectl.path_of("{.items[*].metadata.name}", "pods", "-l", f"app={each.name}").split()

    def answered() -> bool:
        said = kubectl("exec", "client", "--", *program("fetch", f"http://{each.name}/{each.path}", "10"))
        return all(name in said for name in names)

    until(answered, f"both of {names}")

    if each.client:
        said = kubectl("exec", "client", "--", *each.client)
        address = kubectl.path_of("{.spec.clusterIP}", f"service/{each.name}")
        assert GREETING in said
        assert each.resolves * address in said
        if each.name == "node-js":
            assert {"dgram 10.96.0.1 true 53", f"c-ares {address}"} <= set(said.splitlines())
