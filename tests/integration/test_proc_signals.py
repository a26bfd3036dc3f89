"""Tier proc: a signal that the kubelet sends takes no call away, though the shim answers calls that wait to be taken."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import process_tree
import pytest
from runtime_world import PATIENCE_SECONDS, World, client, proc_launcher, world

from wherry.launcher.client import LauncherClient

__all__ = ["client", "world"]

Kill = Callable[[str, int], Awaitable[None]]
SERVER = """
import socket
sock = socket.socket()
sock.bind(("0.0.0.0", 8080))
sock.listen(128)
print("listens", flush=True)
while True:
    client, _ = sock.accept()
    client.sendall(client.recv(9))
    client.close()
"""
SIGNALS = 200
CLIENT = f"""
import os, signal, socket, sys, threading, time
heard, failed = [], []
signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("began", flush=True)
while len(heard) < {SIGNALS}:
    try:
        os.stat("/etc/hosts")
        with socket.create_connection((sys.argv[1], 8080), timeout=60) as sock:
            sock.sendall(b"hello")
            assert sock.recv(9) == b"hello"
    except OSError as error:
        failed.append(repr(error))
    time.sleep(0.001)
signal.pause()
print(failed, flush=True)
os._exit(0)  # an interpreter that ends hears signals no longer
"""
STOPS = "trap : TERM; echo $$; kill -STOP $$; echo goes on"

launcher = proc_launcher()


@pytest.fixture
def kill(client: LauncherClient) -> Kill:
    async def kill(container: str, number: int) -> None:
        await client.call("container.kill", id=container, signal=number)

    return kill


async def test_no_call_fails_because_of_a_signal(world: World, kill: Kill) -> None:
    """As connect(2) and stat(2) never do, so that programs which end in order when asked to finish what they began."""
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    await world.until_printed(await world.start(sandbox, ["python3", "-c", SERVER]), "listens")
    client = await world.start(await world.sandbox(), ["python3", "-c", CLIENT, config.ip])
    await world.until_printed(client, "began")
    ended = asyncio.create_task(world.ended(client))
    while not ended.done():
        await kill(client, signal.SIGTERM)
        await asyncio.sleep(0)
    assert (await ended).exit_code == 0
    assert await world.printed(client) == "began\n[]\n"


async def test_who_was_stopped_stays_so(world: World, kill: Kill) -> None:
    client = await world.start(await world.sandbox(), ["sh", "-c", STOPS])
    pid = int(await world.until_printed(client, "\n"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while process_tree.state(pid) != "T":
            await asyncio.sleep(0.005)
    await kill(client, signal.SIGTERM)
    assert process_tree.state(pid) == "T"
    await kill(client, signal.SIGCONT)
    assert (await world.ended(client)).exit_code == 0
