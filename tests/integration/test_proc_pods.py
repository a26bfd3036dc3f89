"""Tier proc with real processes: network, files, ends, a shim that is killed, programs that mean ill. As an ordinary user
without capabilities; where calls are performed on duplicates of sockets, and where memory is rewritten."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import process_tree
import pytest
from runtime_world import PATIENCE_SECONDS, World, client, proc_launcher, shims, world

from wherry.cri.interface import Mount, RuntimeFailure
from wherry.images.rootfs import RootFS
from wherry.launcher.client import LauncherClient
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["client", "world"]

SERVER = """
import os, socket, sys
sock = socket.socket()
sock.bind((sys.argv[1], int(sys.argv[2])))
sock.listen()
print("listens", flush=True)
while True:
    client, _ = sock.accept()
    client.sendall(f"{os.uname().nodename} {client.getpeername()[0]} {client.getsockname()[0]}".encode())
    client.close()
"""
ASK = """
import socket, sys
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=60) as sock:
            print(sock.recv(99).decode())
    except OSError as error:
        print(error.strerror)
"""

SLOW = """
import os, signal, socket, struct, threading
server = socket.socket()
server.bind(("127.0.0.1", 8080))
server.listen(0)
first, second = socket.socket(), socket.socket()
first.connect(server.getsockname())  # fills the queue
def begun():
    while struct.unpack("B", second.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0] != 2: pass  # SYN_SENT
    while not done.wait(0.01):  # one that comes before the call waits interrupts nothing
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
def interrupted(*_):
    if not done.is_set():
        done.set()
        print("interrupted", flush=True)
        server.accept()
        server.accept()
done = threading.Event()
signal.signal(signal.SIGUSR1, interrupted)
threading.Thread(target=begun).start()
second.connect(server.getsockname())
print("connected" if second.getpeername() == server.getsockname() else "not")
"""

launcher = proc_launcher()


async def serve(world: World, sandbox: str, host: str = "0.0.0.0", port: int = 8080) -> str:
    container = await world.start(sandbox, ["python3", "-c", SERVER, host, str(port)])
    await world.until_printed(container, "listens")
    return container


async def ask(world: World, sandbox: str, *places: str) -> list[str]:
    code, text = await world.run(sandbox, ["python3", "-c", ASK, *places])
    assert code == 0, text
    return text.splitlines()


async def test_replicas_on_one_port_live_side_by_side(world: World) -> None:
    one, two = world.config(), world.config()
    first, second = await world.runtime.run_pod_sandbox(one), await world.runtime.run_pod_sandbox(two)
    await serve(world, first)
    await serve(world, second)
    both = await ask(world, first, f"{one.ip}:8080", f"{two.ip}:8080", "127.0.0.1:8080", f"{two.ip}:8081")
    assert [line.split()[0] for line in both[:3]] == [one.hostname, two.hostname, one.hostname]
    assert both[3] == "Connection refused"
    assert both[1].split()[1:] == [one.ip, two.ip]
    sock = await world.runtime.dial(second, 8080)
    with sock:
        answer = await asyncio.get_running_loop().sock_recv(sock, 99)
    assert answer.decode().split()[0] == two.hostname


async def test_a_connection_that_takes_its_time(world: World) -> None:
    """Begun by the shim, waited for by the kernel in the caller, which signals still reach."""
    code, text = await world.run(await world.sandbox(), ["python3", "-c", SLOW])
    assert (code, text.split()) == (0, ["interrupted", "connected"])


async def test_ports_below_1024_and_loopback_are_the_pods_own(world: World) -> None:
    one, two = world.config(), world.config()
    first, second = await world.runtime.run_pod_sandbox(one), await world.runtime.run_pod_sandbox(two)
    await serve(world, first, port=80)
    await serve(world, first, "127.0.0.1", 81)
    told = await ask(world, first, "127.0.0.1:80", "127.0.0.1:81", f"{one.ip}:81")
    assert [told[0].split()[0], told[1].split()[0], told[2]] == [one.hostname, one.hostname, "Connection refused"]
    told = await ask(world, second, f"{one.ip}:80", "127.0.0.1:80", "10.244.250.250:80")
    assert [told[0].split()[0], *told[1:]] == [one.hostname, "Connection refused", "No route to host"]


async def test_service_addresses_lead_to_pods(world: World, client: LauncherClient) -> None:
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    await serve(world, sandbox)
    services = {"shop/cart": [["10.96.7.7", "tcp", 80, False, [[config.ip, 8080]]]]}
    await client.call("node.services", services=services, range="10.96.0.0/16", replace=True)
    assert (await ask(world, sandbox, "10.96.7.7:80"))[0].startswith(config.hostname)
    resolved = await client.call("node.resolve", host="10.96.7.7", port=80)
    assert resolved.args["address"][1] == 8080
    await client.call("node.services", services={"shop/cart": None}, range="10.96.0.0/16", replace=False)
    assert await ask(world, sandbox, "10.96.7.7:80") == ["Connection refused"]


async def test_volumes_are_where_they_are_mounted(world: World, launcher: LauncherProcess) -> None:
    folder = launcher.state / "volume"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1/key").write_text("one")
    (folder / "..data").symlink_to("v1")
    (folder / "key").symlink_to("..data/key")
    data = launcher.state / "data"
    data.mkdir()
    data.chmod(0o777)
    mounts = [Mount(folder, "/etc/no/such/config", readonly=True), Mount(data, "/data")]
    script = """
        cat /etc/no/such/config/key; echo; cd /data; pwd; echo kept > made; mkdir -p a/b; cat /data/made; ls /etc/no/such
        echo no > /etc/no/such/config/key || echo refused
        rmdir /data || echo busy
        while [ "$(cat /etc/no/such/config/key)" = one ]; do :; done; cat /etc/no/such/config/key"""
    sandbox = await world.sandbox()
    container = await world.start(sandbox, ["sh", "-c", script], mounts=mounts)
    await world.until_printed(container, "busy")
    (folder / "v2").mkdir()
    (folder / "v2/key").write_text("two")
    (folder / "..new").symlink_to("v2")
    (folder / "..new").rename(folder / "..data")
    assert (await world.ended(container)).exit_code == 0
    lines = [line for line in (await world.printed(container)).splitlines() if not line.startswith(("sh:", "rmdir:"))]
    assert lines == ["one", "/data", "kept", "config", "refused", "busy", "two"]
    assert (data / "a/b").is_dir()
    assert (folder / "v1/key").read_text() == "one"


async def test_files_outside_stay_as_they_are(world: World, launcher: LauncherProcess) -> None:
    """Landlock; what a container writes to the machine's files is its own copy."""
    secret = launcher.state / "of-the-user"
    secret.write_text("before")
    secret.chmod(0o666)
    sandbox = await world.sandbox()
    code, text = await world.sh(sandbox, f"echo after >> {secret}; cat {secret}; echo x > /opt/mine && cat /opt/mine")
    assert (code, text.splitlines()[-1]) == (0, "x")
    assert secret.read_text() == "before"
    assert not Path("/opt/mine").exists()


async def test_an_image_with_no_files_at_all_is_refused(world: World) -> None:
    sandbox = await world.sandbox()
    with pytest.raises(RuntimeFailure, match="has neither layers nor the machine's root"):
        await world.start(sandbox, ["true"], RootFS())


async def test_everything_of_a_pod_ends_with_it(world: World) -> None:
    """Without pid namespaces: what became a daemon too, and whatever dies first."""
    script = "setsid sh -c 'echo $$; exec sleep 1000' & wait"
    for kill in ("container", "init"):
        sandbox = await world.sandbox()
        container = await world.start(sandbox, ["sh", "-c", script])
        daemon = int(await world.until_printed(container, "\n"))
        if kill == "container":
            await world.runtime.stop_container(container, 0)
        else:
            status = await world.runtime.container_status(container)
            assert status is not None
            os.kill(process_tree.parent(status.pid), signal.SIGKILL)
        assert (await world.ended(container)).exit_code == 137
        async with asyncio.timeout(PATIENCE_SECONDS):
            while process_tree.lives(daemon):
                await asyncio.sleep(0.01)


async def test_pods_cannot_signal_or_read_one_another(world: World) -> None:
    first, second = await world.sandbox(), await world.sandbox()
    victim = await world.start(first, ["sleep", "1000"])
    status = await world.runtime.container_status(victim)
    assert status is not None
    code, text = await world.sh(second, f"kill -9 {status.pid}; cat /proc/{status.pid}/environ")
    assert code != 0
    assert "ermitted" in text or "ermission" in text
    again = await world.runtime.container_status(victim)
    assert again is not None
    assert again.state.name == "RUNNING"


HOSTILE = r"""
import ctypes, os, random, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
rng = random.Random(int(os.environ["SEED"]))
calls = [2, 4, 6, 21, 42, 44, 49, 50, 51, 52, 59, 63, 79, 80, 82, 83, 87, 89, 254, 257, 262, 263, 267, 316, 332, 437, 439]
block = ctypes.create_string_buffer(8192)
def value():
    inside = ctypes.addressof(block) + rng.randrange(8192)
    return rng.choice([0, 1, 3, 16, 4096, -1, -100, 1 << 31, 1 << 62, inside, inside, rng.getrandbits(64)])
def fill():
    pieces = [b"/tmp/", b"..", b"/", b"\0", b"/data", struct.pack("=H", 2), struct.pack("=H", 10), b"\x7f\0\0\1", bytes(8)]
    while not done.is_set():
        data = b"".join(rng.choice(pieces) for _ in range(40))[:4096]
        ctypes.memmove(block, data, len(data))
done = threading.Event()
threads = [threading.Thread(target=fill) for _ in range(2)]
for thread in threads: thread.start()
socks = [socket.socket(family, kind) for family in (2, 10, 1) for kind in (1, 2)]
for sock in socks: sock.setblocking(False)
for turn in range(400):
    number = rng.choice(calls)
    arguments = [ctypes.c_long(value() - (1 << 64) if value() >> 63 == 1 else value() & ((1 << 62) - 1)) for _ in range(6)]
    if number in (42, 44, 49, 50, 51, 52):
        arguments[0] = ctypes.c_long(rng.choice(socks).fileno())
    if number == 59 or turn % 50 == 0:
        pid = os.fork()
        if pid == 0:
            libc.syscall(number, *arguments)
            os._exit(0)
        if turn % 100 == 0:
            os.kill(pid, 9)
        os.waitpid(pid, 0)
        continue
    libc.syscall(number, *arguments)
done.set()
print("survived", flush=True)
os._exit(0)
"""


async def test_programs_that_mean_ill_hurt_nobody_else(world: World) -> None:
    """Garbage for every call that is answered, from memory that changes meanwhile, by processes that die meanwhile."""
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    await serve(world, sandbox)
    before = shims(world.launcher)
    other = await world.sandbox()
    for seed in range(3):
        container = await world.start(other, ["python3", "-c", HOSTILE], env={"SEED": str(seed)})
        await world.runtime.stop_container(container, 8, "SIGWINCH")  # it may have hurt itself so that it never ends
    assert (await ask(world, other, f"{config.ip}:8080"))[0].startswith(config.hostname)
    assert shims(world.launcher) == before
    assert "Traceback" not in world.launcher.said()


async def test_a_shim_that_is_killed_is_replaced(world: World) -> None:
    """In the end, because it leaves one shim less."""
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    await serve(world, sandbox)
    script = ASK.replace("for place in sys.argv[1:]", "for place in sys.argv[1:] * 1000")
    client = await world.start(sandbox, ["python3", "-c", script, f"{config.ip}:8080"])
    await world.until_printed(client, config.hostname)
    alive = shims(world.launcher)
    os.kill(alive[-1], signal.SIGKILL)
    assert (await world.ended(client)).exit_code == 0
    lines = (await world.printed(client)).splitlines()
    assert len(lines) == 1000
    assert {line.split()[0] for line in lines} == {config.hostname}
    assert shims(world.launcher) == alive[:-1]
    assert (await world.sh(sandbox, "cat /tmp/../tmp/x || echo none"))[1].endswith("none\n")
