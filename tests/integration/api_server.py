"""An API server for tests: TLS on a free loopback port, storage in memory or a file, controllers on demand.

with ApiServer(tmp_path) as server: server.url, server.token, server.kubeconfig
python tests/integration/api_server.py DIR [--port N] [--sqlite] [--controllers]      prints a JSON line, runs until killed
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wherry.aio.clock import RealClock, rfc3339
from wherry.api.resources import SERVICES
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import User
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects
from wherry.apiserver.edge import Edge
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.registry.allocation import service_allocators
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.storage.interface import Storage
from wherry.storage.memory import MemoryStorage
from wherry.storage.sqlite import SqliteStorage

TOKEN = "test-admin-token"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_certificates(folder: Path) -> None:
    """ca.crt, server.crt/key, admin.crt/key (system:masters), user.crt/key (jane of devs), sa.key."""
    ca_key = _key()
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool = False) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            names = [x509.DNSName("localhost"), x509.IPAddress(__import__("ipaddress").ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.crt").write_bytes(certificate(ca_name, ca_key, ca=True))
    people = {"server": ("server", ()), "admin": ("admin", ("system:masters",)), "user": ("jane", ("devs",))}
    for file, (name, groups) in people.items():
        key = _key()
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        (folder / f"{file}.crt").write_bytes(certificate(subject, key))
        (folder / f"{file}.key").write_bytes(_pem(key))
    (folder / "sa.key").write_bytes(_pem(_key()))


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def serve(folder: Path, port: int, storage: Storage, controllers: bool) -> None:
    """Until cancelled."""
    clock, rng = RealClock(), random.Random()
    scheme = Scheme.load()
    await storage.start()
    listener = socket.create_server(("127.0.0.1", port))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    options = Options(
        service_account_key=(folder / "sa.key").read_bytes(),
        tokens={TOKEN: User("admin", ("system:masters",))},
        server_address=address,
        kubelet_socket=lambda node: str(folder / f"kubelet-{node}.sock"),
        allocators=service_allocators([], rng),
    )
    app = App(scheme, storage, clock, rng, options)
    client = Client(InProcessTransport(app, User("system:kube-controller-manager", ("system:masters",))))
    await ensure(client, scheme, bootstrap_objects(BootstrapOptions(now=rfc3339(clock.time()), scheme=scheme)))
    assert await client.list(SERVICES)
    edge = Edge(app, clock)
    await edge.listen(listener, server_context(folder))
    print(json.dumps({"url": f"https://{address}", "token": TOKEN}), flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(edge.run())
        if controllers:
            await _run_controllers(group, client, clock, rng, scheme)


async def _run_controllers(
    group: asyncio.TaskGroup, client: Client, clock: RealClock, rng: random.Random, scheme: Scheme
) -> None:
    from wherry.controllers import deployment, garbage_collector, namespace, replicaset, service_account
    from wherry.reconcile.parts import Parts

    factory = InformerFactory(client, clock, rng)
    recorder = EventRecorder(client, "test", "test", clock, rng)
    parts = Parts(client, factory, recorder, clock, rng)
    built = [module.build(parts) for module in (service_account, deployment, replicaset)]
    built += [module.build(parts, scheme=scheme) for module in (namespace, garbage_collector)]
    group.create_task(recorder.run())
    group.create_task(factory.run())
    for controller in built:
        group.create_task(controller.run())


class ApiServer:
    """The same in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.token = TOKEN
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> ApiServer:
        command = [sys.executable, __file__, str(self.folder), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server did not start"
        self.url = json.loads(line)["url"]
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(json.dumps(config))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()  # what is started in the background of a shell inherits that SIGINT is ignored
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--controllers", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / "ca.crt").exists():
        make_certificates(options.folder)
    storage = SqliteStorage(options.folder / "storage.db") if options.sqlite else MemoryStorage()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(serve(options.folder, options.port, storage, options.controllers))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
