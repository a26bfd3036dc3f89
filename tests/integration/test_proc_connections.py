"""Tier proc and what the shim keeps of connections made before: it never leads to where those went, or by whose memory."""

from __future__ import annotations

from runtime_world import World, proc_launcher, world

__all__ = ["world"]

SERVER = """
import select, socket
socks = [socket.create_server(("", port)) for port in (8080, 8081)]
print("listens", flush=True)
while True:
    for sock in select.select(socks, [], [])[0]:
        client, _ = sock.accept()
        client.sendall(str(sock.getsockname()[1]).encode())
        client.close()
"""
CLIENT = """
import os, socket, sys
def ask(port):
    with socket.create_connection((sys.argv[1], port), timeout=60) as sock: return sock.recv(9).decode()
"""
EXECUTES = (
    CLIENT
    + """
how, *others = sys.argv[2].split(",")
port = 8080 + len(others) % 2
print(*(ask(port) for _ in range(4)), flush=True)
if not others: sys.exit()
program = os.open("/proc/self/exe", os.O_RDONLY) if how == "descriptor" else sys.executable
os.execve(program, ["python3", "-c", sys.orig_argv[2], sys.argv[1], ",".join(others)], os.environ)
"""
)
OUTLIVES = (
    CLIENT
    + """
import errno
print(ask(8080), flush=True)
end = None
while end not in (errno.EHOSTUNREACH, errno.ETIMEDOUT):
    try:
        ask(8080)
    except OSError as error:
        end = error.errno
print(errno.errorcode[end], flush=True)
"""
)


launcher = proc_launcher(both_ways=False, folder="/var/tmp")


async def serving(world: World) -> tuple[str, str]:
    """A sandbox and its address, where 8080 and 8081 say their numbers."""
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    await world.until_printed(await world.start(sandbox, ["python3", "-c", SERVER]), "listens")
    return sandbox, config.ip


async def test_a_program_connects_where_it_says_whoever_it_was_before(world: World) -> None:
    _, ip = await serving(world)
    command = ["python3", "-c", EXECUTES, ip, "path,descriptor,path,last"]
    expected = "".join(f"{port} {port} {port} {port}\n" for port in (8081, 8080, 8081, 8080))
    assert await world.run(await world.sandbox(), command) == (0, expected)


async def test_a_pod_that_has_gone_is_unreachable_for_who_has_just_been_there(world: World) -> None:
    sandbox, ip = await serving(world)
    client = await world.start(await world.sandbox(), ["python3", "-c", OUTLIVES, ip])
    await world.until_printed(client, "8080")
    await world.runtime.remove_pod_sandbox(sandbox)
    await world.ended(client)
    assert await world.printed(client) == "8080\nEHOSTUNREACH\n"
