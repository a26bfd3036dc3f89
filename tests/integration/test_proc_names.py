"""Tier proc and names: a file is the same by its absolute name, by a relative one, by links and as a script's interpreter; who
calls by loopback is 127.0.0.1."""

from __future__ import annotations

from runtime_world import PATIENCE_SECONDS, World, proc_launcher, world

__all__ = ["world"]

LINKS = """
    cd /tmp; mkdir -p data/below; echo kept > data/file; ln -s /tmp/data link; ln -s /tmp/data/file data/absolute
    cat link/file data/absolute; cat data/below/../../data/file; echo more >> link/file
    cd data; cat absolute; cd below; cat ../../link/file"""
LINKS_OF_THE_LAYER = """
    mkdir -p /opt/real/bin; echo kept > /opt/real/bin/file; ln -s /opt/real /opt/current; ln -s /etc /opt/machines
    cat /opt/current/bin/file; echo new > /opt/current/made; cat /opt/real/made; cd /opt/current/bin; cat file
    echo added > /opt/machines/added; cat /etc/added; cmp /opt/machines/passwd /etc/passwd"""
SCRIPTS = """
    cd /tmp; cp /bin/cat copied; printf '#!/tmp/copied\\nby a copy\\n' > one
    ln -s /usr/bin/tail first; ln -s first second; printf '#!/tmp/second -n+2\\nby two links\\n' > two; chmod +x one two
    ./one; ./two; /tmp/two; mkdir below; cd below; ../one; cd /; tmp/two"""
MOVES = """
import os
os.chdir("/tmp")
os.makedirs("below/x"), os.makedirs("/var/layer/y")
open("a", "w").write("moved")
for old, new in (("a", "below/a"), ("/tmp/below/a", "x"), ("x", "/tmp/below/x/a"), ("below/x/a", "/var/layer/a")):
    os.rename(old, new)
os.chdir("/var/layer")
os.rename("a", "y/a"), os.link("y/a", "b"), os.link("/var/layer/b", "y/c")
print(open("/var/layer/y/c").read())
"""
LOOPBACK = """
import socket
for listening, asked in (("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("", "127.0.0.2"), ("::", "::1")):
    both = {"family": socket.AF_INET6, "dualstack_ipv6": True} if listening == "::" else {}
    with socket.create_server((listening, 0), **both) as server:
        with socket.create_connection((asked, server.getsockname()[1])) as client:
            peer, place = server.accept()
            print(place[0], peer.getpeername()[0], client.getsockname()[0])
            assert place[:2] == peer.getpeername()[:2] == client.getsockname()[:2]
"""
MANAGER = """
import multiprocessing, os, socket
os.makedirs("/var/layer")
said = []
for path in ("/tmp/socket", "/var/layer/socket", "here", "/tmp/" + 70 * "x"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    assert server.getsockname() == client.getpeername() == path, (path, server.getsockname(), client.getpeername())
    said.append(server)
assert [each.getsockname() for each in said[:2]] == ["/tmp/socket", "/var/layer/socket"]
context = multiprocessing.get_context("spawn")  # another process connects where the socket says it is
if __name__ == "__main__":
    with context.Manager() as manager:
        print(manager.list([1, 2]))
"""

launcher = proc_launcher()


async def test_links_with_absolute_targets(world: World) -> None:
    """As PostgreSQL's tablespaces are, and `current` in many a deployment."""
    code, text = await world.sh(await world.sandbox(), LINKS)
    assert (code, text.split()) == (0, ["kept"] * 3 + ["kept", "more"] * 2)


async def test_links_of_the_layer(world: World) -> None:
    code, text = await world.sh(await world.sandbox(), LINKS_OF_THE_LAYER)
    assert (code, text.split()) == (0, ["kept", "new", "kept", "added"])


async def test_named_pipes_wait_for_their_other_end(world: World) -> None:
    script = "cd /tmp; mkfifo pipe; mkdir below; ln -s /tmp/pipe below/link; (echo said > /tmp/pipe) & cat /tmp/below/link; wait"
    script += "; (cat /tmp/pipe) & echo again > /tmp/pipe; wait"
    code, text = await world.sh(await world.sandbox(), script)
    assert (code, text.split()) == (0, ["said", "again"])


async def test_scripts_of_promised_interpreters(world: World) -> None:
    """As those of a virtual environment are."""
    code, text = await world.sh(await world.sandbox(), SCRIPTS)
    one, two = ["#!/tmp/copied", "by a copy"], ["by two links"]
    assert (code, text.splitlines()) == (0, one + two + two + one + two)


async def test_files_move_whatever_they_are_called(world: World) -> None:
    assert await world.run(await world.sandbox(), ["python3", "-c", MOVES]) == (0, "moved\n")


async def test_who_calls_by_loopback_comes_from_there(world: World) -> None:
    """Databases trust 127.0.0.1 alone."""
    code, text = await world.run(await world.sandbox(), ["python3", "-c", LOOPBACK])
    assert (code, set(text.split())) == (0, {"127.0.0.1", "::ffff:127.0.0.1"}), text


async def test_the_home_is_the_containers_own(world: World) -> None:
    """Whatever the machine's is: empty, and to be written, listed and entered."""
    sandbox = await world.sandbox()
    container = await world.start(sandbox, ["sleep", "infinity"])
    script = (
        "export HOME=/root; cd; pwd; ls -A; mkdir -p .cache/pip; echo kept > ~/.file; mv .file .cache/; ls -A /root"
    )
    for listed in ([], [".cache"]):
        result = await world.runtime.exec_sync(container, ["sh", "-c", script], PATIENCE_SECONDS)
        assert (result.exit_code, result.stdout.decode().split()) == (0, ["/root", *listed, ".cache"])
    code, text = await world.sh(await world.sandbox(), "ls -A /root")
    assert (code, text) == (0, "")


async def test_unix_sockets_are_where_they_say(world: World) -> None:
    """multiprocessing's managers tell others what getsockname() says."""
    code, text = await world.run(await world.sandbox(), ["python3", "-c", MANAGER], cwd="/tmp")
    assert (code, text) == (0, "[1, 2]\n")
