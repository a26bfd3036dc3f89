"""Exec, attach, signals, logs and figures of real containers, in both tiers."""

from __future__ import annotations

import asyncio
import io
import os
import re
import tarfile

import pytest
from runtime_world import HOST, PATIENCE_SECONDS, World, launcher, world

from wherry.cri.interface import ContainerState, RuntimeFailure
from wherry.testing.contracts.cri import readable

__all__ = ["launcher", "world"]

SERVER = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 8080))
print("listening", flush=True)
while True:
    client, _ = listening.accept()
    client.sendall(b"hello")
    client.close()
"""


async def _everything(fd: int) -> bytes:
    found = b""
    while True:
        try:
            data = await readable(fd)
        except OSError:  # a terminal whose program has ended
            return found
        if not data:
            return found
        found += data


async def test_a_terminal(world: World) -> None:
    container_id = await world.start(await world.sandbox(), ["sleep", "1000"])
    session = await world.runtime.exec(
        container_id, ["sh", "-c", "read x; tty; stty size; echo got $x"], tty=True, stdin=True
    )
    assert session.stdin == session.stdout
    assert isinstance(session.stdin, int)
    session.resize(100, 40)
    os.write(session.stdin, b"word\n")
    assert await session.wait() == 0
    assert (await _everything(session.stdin)).decode().split() == ["word", "/dev/pts/0", "40", "100", "got", "word"]
    session.close()


async def test_a_container_with_a_terminal(world: World) -> None:
    container_id = await world.start(await world.sandbox(), ["sh"], tty=True, stdin=True)
    session = await world.runtime.attach(container_id, tty=True, stdin=True)
    assert isinstance(session.stdin, int)
    assert session.stdout is not None
    session.resize(81, 25)
    os.write(session.stdin, b"stty size; echo $TERM; exit 5\n")
    assert await session.wait() == 5
    session.close()
    assert "25 81" in await world.printed(container_id)
    assert "xterm" in await world.printed(container_id)


async def test_exit_codes_after_signals(world: World) -> None:
    sandbox = await world.sandbox()
    container_id = await world.start(sandbox, ["sleep", "1000"])
    assert (
        await world.runtime.exec_sync(container_id, ["sh", "-c", "kill -TERM $$"], PATIENCE_SECONDS)
    ).exit_code == 143
    session = await world.runtime.exec(container_id, ["sh", "-c", "kill -KILL $$"], tty=False, stdin=False)
    assert await session.wait() == 137
    session.close()
    polite = await world.start(sandbox, ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"])
    await world.until_printed(polite, "up")
    await world.runtime.stop_container(polite, PATIENCE_SECONDS)
    assert (await world.ended(polite)).exit_code == 7


async def test_a_session_that_is_closed_ends_its_process(world: World) -> None:
    container_id = await world.start(await world.sandbox(), ["sleep", "1000"])
    session = await world.runtime.exec(container_id, ["sh", "-c", "echo up; sleep 999"], tty=False, stdin=False)
    assert session.stdout is not None
    assert await readable(session.stdout) == b"up\n"
    session.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"999" in (await world.runtime.exec_sync(container_id, ["ps", "ax"], PATIENCE_SECONDS)).stdout:
            await asyncio.sleep(0.01)


async def test_input_ends_once(world: World) -> None:
    sandbox = await world.sandbox()
    once = await world.start(sandbox, ["cat"], stdin=True, stdin_once=True)
    session = await world.runtime.attach(once, tty=False, stdin=True)
    assert isinstance(session.stdin, int)
    os.write(session.stdin, b"all of it\n")
    session.close_stdin()
    assert await session.wait() == 0
    session.close()
    assert await world.printed(once) == "all of it\n"


async def test_a_slow_reader_does_not_stop_the_container(world: World) -> None:
    container_id = await world.start(
        await world.sandbox(), ["sh", "-c", "read x; head -c 9000000 /dev/zero | tr '\\0' x"], stdin=True
    )
    session = await world.runtime.attach(container_id, tty=False, stdin=True)
    assert isinstance(session.stdin, int)
    os.write(session.stdin, b"go\n")
    assert (await world.ended(container_id)).exit_code == 0
    assert len(await world.printed(container_id)) >= 9_000_000
    session.close()


async def test_orphans_are_reaped_in_a_shared_pid_namespace(world: World) -> None:
    sandbox = await world.sandbox(share_process_namespace=True)
    container_id = await world.start(sandbox, ["sh", "-c", "(sh -c 'sleep 0.01' & ); echo up; sleep 1000"])
    await world.until_printed(container_id, "up")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"defunct" in (await world.runtime.exec_sync(container_id, ["ps", "ax"], PATIENCE_SECONDS)).stdout:
            await asyncio.sleep(0.01)


async def test_what_a_container_left_in_a_shared_pid_namespace_ends_with_it(world: World) -> None:
    sandbox = await world.sandbox(share_process_namespace=True)
    other = await world.start(sandbox, ["sleep", "1000"])
    assert (await world.sh(sandbox, "setsid sleep 4321 > /dev/null 2>&1 &"))[0] == 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"sleep 4321" in (await world.runtime.exec_sync(other, ["ps", "ax"], PATIENCE_SECONDS)).stdout:
            await asyncio.sleep(0.01)
    status = await world.runtime.container_status(other)
    assert status is not None
    assert status.state is ContainerState.RUNNING


async def test_dial_reaches_a_servers_own_loopback(world: World) -> None:
    sandbox = await world.sandbox()
    container_id = await world.start(sandbox, ["/usr/bin/python3", "-c", SERVER])
    await world.until_printed(container_id, "listening")
    with await world.runtime.dial(sandbox, 8080) as sock:
        assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        await world.runtime.dial(sandbox, 8081)


async def test_pods_reach_each_other(world: World) -> None:
    server = SERVER.replace('"127.0.0.1"', '""')
    ips = ("10.244.200.1", "10.244.200.2")
    sandboxes = [await world.sandbox(ip=ip) for ip in ips]
    await world.until_printed(await world.start(sandboxes[0], ["/usr/bin/python3", "-c", server]), "listening")
    ask = f"import socket; s = socket.create_connection(('{ips[0]}', 8080), 60); print(s.getsockname()[0], s.recv(9))"
    assert await world.run(sandboxes[1], ["/usr/bin/python3", "-c", ask]) == (0, f"{ips[1]} b'hello'\n")


async def test_a_pod_in_the_hosts_network(world: World) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        sandbox = await world.sandbox(host_network=True, ip="")
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port}), 60); print('reached')"
        assert await world.run(sandbox, ["/usr/bin/python3", "-c", ask]) == (0, "reached\n")
        with await world.runtime.dial(sandbox, port):
            pass
    await world.runtime.stop_pod_sandbox(sandbox)


async def test_figures_grow_with_work(world: World) -> None:
    sandbox = await world.sandbox()
    hold = "x = bytearray(30_000_000); print('up', flush=True)\nfor i in range(10**9): pass"
    container_id = await world.start(sandbox, ["/usr/bin/python3", "-c", hold])
    await world.until_printed(container_id, "up")
    [first] = await world.runtime.stats()
    assert 30_000_000 < first.memory_working_set_bytes < 100_000_000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await world.runtime.stats())[0].cpu_usage_nanoseconds < first.cpu_usage_nanoseconds + 50_000_000:
            await asyncio.sleep(0.01)


async def test_time_of_children_that_have_ended_counts(world: World) -> None:
    burn = "for i in 1 2 3 4 5 6; do /usr/bin/python3 -c 'for i in range(10**6): pass'; done; echo done; sleep 1000"
    container_id = await world.start(await world.sandbox(), ["sh", "-c", burn])
    await world.until_printed(container_id, "done")
    [figures] = await world.runtime.stats()
    assert figures.cpu_usage_nanoseconds > 50_000_000


async def test_log_can_be_reopened(world: World) -> None:
    container_id = await world.start(await world.sandbox(), ["cat"], stdin=True, log_path="main/0.log")
    session = await world.runtime.attach(container_id, tty=False, stdin=True)
    assert isinstance(session.stdin, int)
    os.write(session.stdin, b"one\n")
    await world.until_printed(container_id, "one")
    [sandbox] = await world.runtime.list_pod_sandboxes()
    log = sandbox.config.log_directory / "main" / "0.log"
    log.rename(log.with_suffix(".old"))
    await world.runtime.reopen_container_log(container_id)
    os.write(session.stdin, b"two\n")
    assert await world.until_printed(container_id, "two") == "two\n"
    session.close()


async def test_what_a_build_wrote_becomes_a_layer(world: World) -> None:
    sandbox = await world.sandbox()
    script = (
        "mkdir -p /app/data && echo 1 > /app/main && ln -s main /app/link && chmod 000 /app/data && "
        "echo x > /etc/wherry-layer && rm /etc/os-release && rm -rf /usr/share/doc; "
        "mkdir /usr/share/doc && echo hi > /usr/share/doc/x; "
        "echo t > /tmp/left"
    )
    container_id = await world.start(sandbox, ["sh", "-c", script])
    await world.ended(container_id)
    upper = await world.runtime.container_upper(container_id)
    assert (upper / "app" / "main").read_text() == "1\n"
    output = os.memfd_create("layer")
    await world.runtime.archive_upper(container_id, output)
    with os.fdopen(output, "rb") as file:
        file.seek(0)
        with tarfile.open(fileobj=io.BytesIO(file.read())) as tar:
            members = {member.name: member for member in tar}
    assert members["app/link"].linkname == "main"
    assert members["app/data"].mode == 0
    assert (members["app/main"].uid, members["app/main"].gid) == (0, 0)
    assert {"etc/wherry-layer", "etc/.wh.os-release", "tmp/left"} <= set(members)
    if world.tier == "ns-root":  # in a single-user namespace the machine's directory is not ours to replace
        assert {"usr/share/doc/x", "usr/share/doc/.wh..wh..opq"} <= set(members)
    assert not any(name.startswith(("proc", "sys", "dev", "root/.")) for name in members)
    await world.runtime.remove_container(container_id)
    assert not upper.exists()


async def test_a_layer_is_a_root_again(world: World) -> None:
    """Deleting, replacing and hiding survive when the writable layer becomes a lower one."""
    sandbox = await world.sandbox()
    first = await world.start(
        sandbox, ["sh", "-c", "mkdir /app; echo 1 > /app/a; echo 2 > /var/log/l; rm /etc/os-release"]
    )
    assert (await world.ended(first)).exit_code == 0
    layer = await world.runtime.container_upper(first)
    rootfs = type(HOST)((layer,), host=True)
    code, text = await world.sh(
        sandbox, "cat /app/a /var/log/l; ls -A /var/log; ls /etc/os-release || echo gone", rootfs
    )
    assert (code, re.sub(r"ls: .*\n", "", text)) == (0, "1\n2\nl\ngone\n")


async def test_an_agent_that_comes_back_finds_everything(world: World) -> None:
    sandbox = await world.sandbox()
    running = await world.start(sandbox, ["sleep", "1000"], env={"A": "b"})
    ended = await world.start(sandbox, ["false"])
    await world.ended(ended)
    second = World(world.launcher)
    assert [status.id for status in await second.runtime.list_pod_sandboxes()] == [sandbox]
    found = {status.id: status for status in await second.runtime.list_containers()}
    assert (found[running].state, found[running].config.env) == (ContainerState.RUNNING, {"A": "b"})
    assert (found[ended].state, found[ended].exit_code) == (ContainerState.EXITED, 1)
    assert (await second.runtime.exec_sync(running, ["true"], PATIENCE_SECONDS)).exit_code == 0
    await second.runtime.stop_container(running, 0)
    second.runtime.close()


async def test_failures_leave_nothing(world: World) -> None:
    sandbox = await world.sandbox()
    inner = world.launcher.inner_pid
    before = len(os.listdir(f"/proc/{inner}/fd"))
    for _ in range(5):
        with pytest.raises(RuntimeFailure):
            await world.start(sandbox, ["no-such-program"])
        with pytest.raises(RuntimeFailure):
            await world.runtime.run_pod_sandbox(world.config(ip="not an address"))
        with pytest.raises(RuntimeFailure):
            await world.runtime.run_pod_sandbox(world.config(sysctls={"no.such": "1"}))
    for status in await world.runtime.list_containers():
        await world.runtime.remove_container(status.id)
    assert len(os.listdir(f"/proc/{inner}/fd")) == before
    links = await world.runtime.exec_sync(await world.start(sandbox, ["sleep", "1000"]), ["true"], PATIENCE_SECONDS)
    assert links.exit_code == 0
    assert len(await world.runtime.list_pod_sandboxes()) == 1
    assert os.listdir((await world.runtime.list_pod_sandboxes())[0].config.directory.parent)
