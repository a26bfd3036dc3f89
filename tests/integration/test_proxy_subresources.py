"""`services|pods|nodes/NAME/proxy` through the socket: who is reached, what they see, what comes back, what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from proxy_world import Asked, World, plain, read_request, world

SERVICE = "/api/v1/namespaces/shop/services"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture
async def cluster() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def add_service(cluster: World, *addresses: str, port: int = 80, name: str = "", target: int = 8080) -> None:
    spec = {"ports": [{"port": port, "targetPort": target, **({"name": name} if name else {})}], "clusterIP": "None"}
    await cluster.create(SERVICE, {"metadata": {"name": "hello"}, "spec": spec})
    if addresses:
        await cluster.create(
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            {
                "metadata": {"name": "hello-1", "labels": {"kubernetes.io/service-name": "hello"}},
                "addressType": "IPv4",
                "ports": [{"port": target, "name": name}],
                "endpoints": [{"addresses": [each]} for each in addresses],
            },
        )


async def echo(asked: Asked) -> bytes:
    lines = [f"{asked.method} {asked.target}", *(f"{key}: {value}" for key, value in sorted(asked.headers.items()))]
    return plain("\n".join([*lines, asked.body.decode()]), "X-Own: 1", "Set-Cookie: a=1", "Set-Cookie: b=2")


@pytest.mark.parametrize("name", ["hello", "hello:80", "http:hello:80", ":hello:"])
async def test_a_service_is_reached_by_every_spelling_of_its_name(cluster: World, name: str) -> None:
    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, echo)
    reply = await cluster.ask("GET", f"{SERVICE}/{name}/proxy/a%2Fb/c/?q=1&q=2")
    assert reply.status == 200, reply.body
    assert reply.body.startswith(b"GET /a%2Fb/c/?q=1&q=2\n")
    assert reply.headers["X-Own"] == "1"
    assert reply.headers["Set-Cookie"] == "a=1\nb=2"


async def test_what_the_backend_sees(cluster: World) -> None:
    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, echo)
    sent = {
        "X-Mine": "yes",
        "Connection": "close, X-Hop",
        "X-Hop": "no",
        "X-Forwarded-For": "192.0.2.1",
        "Accept": "text/css",
    }
    reply = await cluster.ask("POST", f"{SERVICE}/hello:80/proxy/in", b"body", headers=sent)
    seen = reply.body.decode().split("\n")
    assert seen[0] == "POST /in"
    assert seen[-1] == "body"
    assert {"host: api:6443", "x-mine: yes", "accept: text/css", "x-forwarded-for: 192.0.2.1, 127.0.0.1"} < set(seen)
    assert f"x-forwarded-uri: {SERVICE}/hello:80/proxy/in" in seen
    assert not any(line.startswith(("authorization", "connection", "x-hop")) for line in seen)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_every_method_passes(cluster: World, method: str) -> None:
    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, echo)
    reply = await cluster.ask(method, f"{SERVICE}/hello/proxy/")
    assert reply.status == 200
    assert method == "HEAD" or reply.body.startswith(f"{method} /\n".encode())


async def test_the_bare_path_leads_to_the_folder(cluster: World) -> None:
    await add_service(cluster, "10.1.0.7")
    reply = await cluster.ask("GET", f"{SERVICE}/hello/proxy?x=1")
    assert (reply.status, reply.headers["Location"]) == (301, f"{SERVICE}/hello/proxy/?x=1")


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/login?n=1", f"{SERVICE}/hello/proxy/login?n=1"),
        ("http://10.1.0.7:8080/x/", f"{SERVICE}/hello/proxy/x/"),
        ("http://api:6443/x", f"http://api:6443{SERVICE}/hello/proxy/x"),
        ("next", "next"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
    ],
)
async def test_redirects_stay_inside(cluster: World, location: str, seen: str) -> None:
    async def redirects(_: Asked) -> bytes:
        return plain("", f"Location: {location}", status="302 Found")

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, redirects)
    reply = await cluster.ask("GET", f"{SERVICE}/hello/proxy/")
    assert (reply.status, reply.headers["Location"]) == (302, seen)


@pytest.mark.parametrize(
    ("target", "status", "reason", "message"),
    [
        (f"{SERVICE}/nobody/proxy/", 404, "NotFound", 'endpoints "nobody" not found'),
        (f"{SERVICE}/nobody:80/proxy/", 404, "NotFound", 'services "nobody" not found'),
        (f"{SERVICE}/hello:81/proxy/", 503, "ServiceUnavailable", 'no service port 81 found for service "hello"'),
        (f"{SERVICE}/hello:web/proxy/", 503, "ServiceUnavailable", 'no endpoints available for service "hello:web"'),
        (f"{SERVICE}/ftp:hello:80/proxy/", 400, "BadRequest", 'invalid service request "ftp:hello:80"'),
        (
            f"{SERVICE}/hello/proxy/",
            503,
            "ServiceUnavailable",
            "error trying to reach service: dial tcp 10.1.0.9:8080: connect: connection refused",
        ),
        (f"{PODS}/nobody/proxy/", 404, "NotFound", 'pods "nobody" not found'),
        (f"{PODS}/new/proxy/", 400, "BadRequest", "address not allowed"),
        ("/api/v1/nodes/nobody/proxy/metrics", 404, "NotFound", 'nodes "nobody" not found'),
    ],
)
async def test_what_cannot_be_reached(cluster: World, target: str, status: int, reason: str, message: str) -> None:
    await add_service(cluster, "10.1.0.9")
    service = {
        "metadata": {"name": "hello"},
        "subsets": [{"addresses": [{"ip": "10.1.0.9"}], "ports": [{"port": 8080}]}],
    }
    await cluster.create("/api/v1/namespaces/shop/endpoints", service)
    await add_pod(cluster, "new")
    reply = await cluster.ask("GET", target)
    assert (reply.status, reply.json["reason"], reply.message) == (status, reason, message)


async def add_pod(cluster: World, name: str, ip: str = "") -> None:
    await cluster.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 9000}]}
    await cluster.create(PODS, {"metadata": {"name": name}, "spec": {"containers": [container]}})
    if ip:
        patch = {"status": {"podIP": ip, "podIPs": [{"ip": ip}]}}
        reply = await cluster.ask(
            "PATCH", f"{PODS}/{name}/status", patch, headers={"Content-Type": "application/merge-patch+json"}
        )
        assert reply.status == 200, reply.body


async def test_a_pod_by_its_first_port_or_another(cluster: World) -> None:
    await add_pod(cluster, "p", "10.1.0.8")
    await cluster.serve("10.1.0.8", 9000, echo)
    await cluster.serve("10.1.0.8", 9001, echo)
    for name in ("p", "p:9000", "p:9001"):
        assert (await cluster.ask("GET", f"{PODS}/{name}/proxy/x")).body.startswith(b"GET /x\n")


async def test_rbac_asks_for_the_subresource_and_the_method(cluster: World) -> None:
    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, echo)
    role = {
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get"]}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop"
    await cluster.create(f"{rbac}/roles", role)
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
    }
    await cluster.create(f"{rbac}/rolebindings", binding)
    assert (await cluster.ask("GET", f"{SERVICE}/hello/proxy/", token="jane")).status == 200
    refused = await cluster.ask("POST", f"{SERVICE}/hello/proxy/", token="jane")
    assert refused.status == 403
    assert 'cannot create resource "services/proxy" in API group ""' in refused.message


# -- streams


async def test_an_answer_comes_as_it_is_made(cluster: World) -> None:
    more = asyncio.Event()

    async def slow(asked: Asked) -> bytes:
        asked.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await more.wait()
        return b"3\r\ntwo\r\n0\r\n\r\n"

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, slow)
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    writer.write(f"GET {SERVICE}/hello/proxy/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n\r\n".encode())
    assert (await asyncio.wait_for(reader.readuntil(b"one\r\n"), 30)).endswith(b"3\r\none\r\n")
    more.set()
    assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 30) == b"3\r\ntwo\r\n0\r\n\r\n"
    writer.close()


async def test_an_answer_that_breaks_off_never_looks_whole(cluster: World) -> None:
    async def breaks(asked: Asked) -> bytes:
        asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        raise ConnectionResetError

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, breaks)
    with pytest.raises(asyncio.IncompleteReadError):
        await cluster.ask("GET", f"{SERVICE}/hello/proxy/")


async def test_an_upgrade_is_bytes_both_ways(cluster: World) -> None:
    async def shouts(asked: Asked) -> bytes:
        assert asked.headers["upgrade"] == "websocket"
        assert "authorization" not in asked.headers
        asked.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await asked.reader.read(100):
            asked.writer.write(data.upper())
        raise ConnectionResetError

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, shouts)
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    headers = "Host: a\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    writer.write(f"GET {SERVICE}/hello/proxy/ws HTTP/1.1\r\n{headers}\r\n".encode())
    assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), 30) == b"HELLO"
    writer.close()


async def test_an_upgrade_the_backend_refuses_is_a_plain_answer(cluster: World) -> None:
    async def refuses(_: Asked) -> bytes:
        return plain("not here", status="403 Forbidden")

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, refuses)
    reply = await cluster.ask(
        "GET", f"{SERVICE}/hello/proxy/ws", headers={"Connection": "Upgrade", "Upgrade": "websocket"}
    )
    assert (reply.status, reply.body) == (403, b"not here")


async def test_a_kubelet_is_asked_over_its_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("k") / "k.sock"

    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader, writer)
        assert asked is not None
        writer.write(await echo(asked))
        writer.close()

    async with world(kubelet_socket=lambda _: str(path)) as cluster:
        await cluster.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        server = await asyncio.start_unix_server(kubelet, path)
        reply = await cluster.ask("GET", "/api/v1/nodes/n1/proxy/stats/summary")
        assert reply.body.startswith(b"GET /stats/summary\n")
        server.close()
        path.unlink(missing_ok=True)
        gone = await cluster.ask("GET", "/api/v1/nodes/n1/proxy/stats/summary")
        assert (gone.status, gone.json["reason"]) == (503, "ServiceUnavailable")


# -- long bodies


async def reads(asked: Asked) -> bytes:
    """Answers with how long the body was; chunks are read here."""
    size = len(asked.body)
    if asked.headers.get("transfer-encoding") == "chunked":
        while more := int(await asked.reader.readuntil(b"\r\n"), 16):
            size += len(await asked.reader.readexactly(more + 2)) - 2
        await asked.reader.readexactly(2)
    return plain(str(size))


async def test_a_body_of_any_length_is_passed_on(cluster: World) -> None:
    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, reads)
    for size in (0, 1000, 300_000, 5 << 20):
        assert (await cluster.ask("PUT", f"{SERVICE}/hello/proxy/up", b"x" * size)).body == str(size).encode()
    too_long = await cluster.ask("POST", "/api/v1/namespaces/shop/configmaps", b"x" * (5 << 20))
    assert too_long.status == 413, "only proxies take that much"


async def opened(
    cluster: World, *lines: str, token: str = "admin"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
    head = [f"POST {SERVICE}/hello/proxy/up HTTP/1.1", "Host: a", f"Authorization: Bearer {token}", *lines]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    return reader, writer


async def test_both_sides_may_talk_at_once(cluster: World) -> None:
    async def shouts(asked: Asked) -> bytes:
        asked.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await asked.reader.readuntil(b"\r\n"), 16):
            piece = (await asked.reader.readexactly(size + 2))[:-2].upper()
            asked.writer.write(b"%x\r\n%b\r\n" % (size, piece))
        await asked.reader.readexactly(2)
        return b"0\r\n\r\n"

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, shouts)
    reader, writer = await opened(cluster, "Transfer-Encoding: chunked")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    for word in (b"one", b"two"):
        writer.write(b"3\r\n%b\r\n" % word)
        assert await asyncio.wait_for(reader.readuntil(word.upper() + b"\r\n"), 30)
    writer.write(b"0\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 30) == b"0\r\n\r\n"
    writer.write(b"GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin\r\n\r\n")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30), "the connection goes on"
    writer.close()


async def test_a_long_body_nobody_wants_ends_the_connection(cluster: World) -> None:
    await add_service(cluster, "10.1.0.7")
    reader, writer = await opened(cluster, "Transfer-Encoding: chunked", token="jane")
    assert b" 403 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
    assert await asyncio.wait_for(reader.read(), 30)
    writer.close()


@pytest.mark.parametrize("rest", [b"zz\r\n", b"3\r\nabcdef\r\n", b"5\r\nab"])
async def test_a_body_that_breaks_never_looks_whole(cluster: World, rest: bytes) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits(asked: Asked) -> bytes:
        begun.set()
        try:
            await reads(asked)
            raise AssertionError("that was no whole body")
        except (asyncio.IncompleteReadError, ConnectionError):
            ended.set()
            raise

    await add_service(cluster, "10.1.0.7")
    await cluster.serve("10.1.0.7", 8080, waits)
    _, writer = await opened(cluster, "Transfer-Encoding: chunked")
    writer.write(b"3\r\nabc\r\n")
    await asyncio.wait_for(begun.wait(), 30)
    writer.write(rest)
    await writer.drain()
    writer.close()
    await asyncio.wait_for(ended.wait(), 30)
