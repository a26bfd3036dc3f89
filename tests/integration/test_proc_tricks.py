"""Tier proc and programs that try to get, by a trick, what they were not given: each is refused, and how is said."""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ill_programs import ELSEWHERE, HIDDEN, SAYS
from runtime_world import PATIENCE_SECONDS, World, is_exact, proc_launcher, world

from wherry.cri.interface import Mount
from wherry.launcher import whiteouts
from wherry.launcher.proc.addresses import Block
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["world"]

LINKS = (
    SAYS
    + """
outside, home = sys.argv[1:]
os.chdir("/")
os.symlink("/proc/self/comm", home + "/mine")
os.symlink("/proc/self/mem", home + "/memory")
os.symlink(outside + "/file", home + "/out")
os.symlink(outside, home + "/folder")
os.symlink("/data/inner", home + "/other-volume")
os.mkdir(home + "/real"); os.symlink("real/../real", home + "/beneath"); os.symlink("loop", home + "/loop")
open(home + "/real/x", "w").write("x")
says("own", lambda: open(home + "/mine").read().strip())
value = ctypes.create_string_buffer(b"before", 8)
def poke():
    with open(home + "/memory", "r+b", buffering=0) as memory:
        memory.seek(ctypes.addressof(value))
        memory.write(b"after!")
    return value.value.decode()
says("memory", poke)
says("beneath", lambda: open(home + "/beneath/x").read())
says("loop", lambda: open(home + "/loop").read())
says("volume", lambda: open(home + "/other-volume/file").read())
says("write", lambda: open(home + "/out", "w").write("gone"))
says("truncate", lambda: os.truncate(home + "/out", 0))
says("mkdir", lambda: os.mkdir(home + "/folder/made"))
says("unlink", lambda: os.unlink(home + "/folder/file"))
says("rename", lambda: os.rename(home + "/folder/file", home + "/taken"))
says("link", lambda: os.link(home + "/folder/file", home + "/taken"))
says("symlink", lambda: os.symlink("x", home + "/folder/made"))
def bound():
    with socket.socket(socket.AF_UNIX) as sock: sock.bind(home + "/folder/socket")
says("bind", bound)
"""
)
CALLS = (
    SAYS
    + """
os.mkfifo("/tmp/pipe", 0o777)
says("pipe", lambda: os.execv("/tmp/pipe", ["pipe"]))
says("leased", lambda: os.truncate("/data/leased", 0))
os.umask(0o077)
os.mkdir("/tmp/closed"); os.close(os.open("/tmp/closed/file", os.O_CREAT | os.O_WRONLY, 0o666))
says("umask", lambda: [oct(os.stat("/tmp/closed" + name).st_mode & 0o777) for name in ("", "/file")])
says("mount point", lambda: os.rename("/data", "/tmp/data"))
says("long", lambda: os.stat("/tmp/" + "x" * 5000))
says("odd", lambda: [os.mkdir(b"/tmp/a\\nb\\xff"), sorted(os.listdir(b"/tmp"))[0]][1])
says("userfaultfd", lambda: libc.syscall(323, 0) or 0)
upper = os.readlink("/proc/self/fd/%d" % os.open("/opt/own", os.O_CREAT | os.O_WRONLY))[:-len("/opt/own")]
os.rename(upper + "/opt", upper + "/was")
os.symlink(sys.argv[1], upper + "/opt")
says("planted", lambda: open("/opt/file", "w").write("gone"))
os.symlink(sys.argv[1], upper + "/marks")
says("planted mark", lambda: os.mkdir("/marks/gone"))
says("planted copy", lambda: open("/etc/passwd", "a").write("") or open("/opt/made", "w").write("x"))
"""
)
NETWORK = (
    SAYS
    + """
state, victim, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def raw(family, host, port=0): return struct.pack("=H", family) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
def calls(name, sock, address, length=None):
    if getattr(libc, name)(sock.fileno(), address, len(address) if length is None else length) < 0:
        raise OSError(ctypes.get_errno(), "")
def tcp(): return socket.socket()
def udp(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def unix(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock: sock.connect(path)
os.symlink(state, "/tmp/state")
says("launcher", lambda: unix(state + "/launcher.sock"))
says("by a link", lambda: unix("/tmp/state/launcher.sock"))
os.chdir(state)
says("relative", lambda: unix("launcher.sock"))
says("by proc", lambda: unix("/proc/self/cwd/launcher.sock"))
os.chdir("/")
with tcp() as sock:
    says("unspec bind", lambda: calls("bind", sock, raw(0, "0.0.0.0", 9999)))
    says("unspec connect", lambda: calls("connect", sock, raw(0, "0.0.0.0")))
    says("length -1", lambda: calls("connect", sock, raw(2, "127.0.0.1", 9), -1))
    says("length 15", lambda: calls("connect", sock, raw(2, "127.0.0.1", 9), 15))
    says("length 0", lambda: calls("bind", sock, raw(2, "127.0.0.1", 9), 0))
    says("nowhere", lambda: libc.connect(sock.fileno(), 1 << 50, 16) and ctypes.get_errno() == errno.EFAULT)
    says("of another", lambda: sock.connect((victim, port)))
    says("bind there", lambda: sock.bind((victim, 0)))
    sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
    says("freely", lambda: sock.bind((victim, 0)))
    says("fast open", lambda: sock.sendto(b"x", 0x20000000, (victim, port)))
with socket.socket(socket.AF_INET6) as sock:
    says("mapped", lambda: sock.connect(("::ffff:" + victim, port)))
    says("bind IPv6", lambda: sock.bind(("2001:db8::1", 0)))
with udp() as sock:
    says("datagram", lambda: sock.sendto(b"x", (victim, port)))
    says("message", lambda: sock.sendmsg([b"x"], [], 0, (victim, port)))
    def send(name): return libc.sendto(sock.fileno(), b"x", 1, 0, name, 16), ctypes.get_errno() == errno.ECONNREFUSED
    says("unspec datagram", lambda: send(raw(0, victim, port)))
"""
)
RACE = (
    SAYS
    + """
victim, port = sys.argv[1], int(sys.argv[2])
mine = socket.create_server(("127.0.0.1", 0), backlog=4096)
def address(host, port): return struct.pack("=H", 2) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
both = [address("127.0.0.1", mine.getsockname()[1]), address(victim, port)]
both.append(bytes(2) + both[1][2:])
place = ctypes.create_string_buffer(both[0], 16)
done = threading.Event()
def flip():
    while not done.is_set():
        for each in both: ctypes.memmove(place, each, 16)
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=flip)]
for thread in threads: thread.start()
reached = 0
for turn in range(1000):
    with socket.socket() as sock:
        if libc.connect(sock.fileno(), place, 16) == 0:
            try:
                reached += sock.getpeername() != ("127.0.0.1", mine.getsockname()[1])
            except OSError:  # it ended a connection that there was not
                pass
done.set()
for thread in threads: thread.join()
print("reached", reached, flush=True)
"""
)
SWAP = (
    SAYS
    + """
victim, port = sys.argv[1], int(sys.argv[2])
unix = struct.pack("=H", 1) + b"\\0no-such-name\\0"
def inet(port): return struct.pack("=H", 2) + struct.pack(">H", port) + socket.inet_aton(victim) + bytes(8)
wanted = {"connect": inet(port), "bind": inet(0)}
place = ctypes.create_string_buffer(unix, 16)
sockets = {1: socket.socket(socket.AF_UNIX), 2: socket.socket()}
AT = 100
os.dup2(sockets[1].fileno(), AT)
done = threading.Event()
def flip():
    while not done.is_set():
        for kind, address in ((1, unix), (2, wanted[call])):
            ctypes.memmove(place, address, 16)
            os.dup2(sockets[kind].fileno(), AT)
sys.setswitchinterval(1e-5)
call = "connect"
thread = threading.Thread(target=flip)
thread.start()
reached = dict.fromkeys(wanted, 0)
for call in wanted:
    for turn in range(500):
        getattr(libc, call)(AT, place, 16)
        if sockets[2].getsockname()[1]:
            reached[call] += 1
            sockets[2] = socket.socket()
done.set()
thread.join()
print(reached, flush=True)
"""
)
EXPECTED_NETWORK = """launcher EACCES
by a link EACCES
relative EACCES
by proc EACCES
unspec bind EAFNOSUPPORT
unspec connect None
length -1 EINVAL
length 15 EINVAL
length 0 EINVAL
nowhere True
of another ECONNREFUSED
bind there EADDRNOTAVAIL
freely EADDRNOTAVAIL
fast open ENOTSUP
mapped ECONNREFUSED
bind IPv6 EADDRNOTAVAIL
datagram ECONNREFUSED
message ECONNREFUSED
unspec datagram (-1, True)"""
EXPECTED_LINKS = """own python3
memory after!
beneath x
loop ELOOP
volume inside
"""
"""What both say; then comes what is written."""
REFUSED = """write EACCES
truncate EACCES
mkdir EACCES
unlink EACCES
rename EXDEV
link EXDEV
symlink EACCES
bind EACCES"""
COPIED = """write 4
truncate None
mkdir None
unlink None
rename ENOENT
link ENOENT
symlink EEXIST
bind None"""
NOT_COPIED = """write EPERM
truncate EPERM
mkdir None
unlink EPERM
rename EPERM
link EPERM
symlink EEXIST
bind None"""


EXPECTED_CALLS = [
    *("pipe EACCES", "leased EAGAIN", "umask ['0o700', '0o600']", "mount point EBUSY", "long ENAMETOOLONG"),
    *(r"odd b'a\nb\xff'", "userfaultfd -1", f"planted {'EPERM' if HIDDEN else 4}"),
    *("planted mark EACCES", "planted copy 1"),
]


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the user's, which the pods may read and write as far as modes say."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-outside-", dir=ELSEWHERE))
    folder.chmod(0o777)
    (folder / "file").write_text("inside")
    (folder / "file").chmod(0o666)
    yield folder
    shutil.rmtree(folder)


launcher = proc_launcher(folder=ELSEWHERE)


@pytest.mark.parametrize("readonly", [True, False], ids=["readonly", "writable"])
async def test_links_lead_where_the_container_could_go_by_itself(
    world: World, launcher: LauncherProcess, outside: Path, readonly: bool
) -> None:
    data = world.volume("data")
    (data / "inner").mkdir()
    (data / "inner/file").write_text("inside")
    sandbox = await world.sandbox()
    code, text = await world.run(
        sandbox,
        ["python3", "-c", LINKS, str(outside), "/data" if readonly else "/tmp"],
        mounts=[Mount(data, "/data")],
        readonly_rootfs=readonly,
    )
    expected = EXPECTED_LINKS + (REFUSED if readonly else NOT_COPIED if HIDDEN else COPIED)
    assert (code, text.strip()) == (0, expected)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "inside"


async def test_calls_that_would_make_the_shim_wait_or_err(
    world: World, launcher: LauncherProcess, outside: Path
) -> None:
    data = world.volume("data")
    whiteouts.make(outside / "gone")
    sandbox = await world.sandbox()
    (data / "leased").touch()
    (data / "leased").chmod(0o666)
    with (data / "leased").open("w") as leased:
        fcntl.fcntl(leased, fcntl.F_SETSIG, signal.SIGURG)  # ignored
        fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        code, text = await world.run(sandbox, ["python3", "-c", CALLS, str(outside)], mounts=[Mount(data, "/data")])
    assert (code, text.splitlines()) == (0, EXPECTED_CALLS)
    assert sorted(path.name for path in outside.iterdir()) == ["file", "gone"]
    assert (outside / "file").read_text() == "inside"
    assert "Traceback" not in launcher.said()


LISTEN = """
import socket
servers = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
for server in servers: server.bind(("127.0.0.1", 7777))
servers[0].listen()
print("listens", flush=True)
while True:
    client, _ = servers[0].accept()
    client.close()
"""


async def test_the_loopback_of_another_pod_is_out_of_reach(world: World, launcher: LauncherProcess) -> None:
    """By no form of its real address, and by none that changes while it is looked at; nor are Wherry's own sockets."""
    config = world.config()
    victim = await world.runtime.run_pod_sandbox(config)
    await world.until_printed(await world.start(victim, ["python3", "-c", LISTEN]), "listens")
    block = Block.of(str(launcher.state), "10.244.0.1")
    private = socket.inet_ntoa(block.private(socket.inet_aton(config.ip)))
    port = next(
        int(link.readlink().name.rpartition(":")[2]) for link in (launcher.state / "run/ports" / config.ip).iterdir()
    )
    sandbox = await world.sandbox()
    code, text = await world.run(sandbox, ["python3", "-c", NETWORK, str(launcher.state), private, str(port)])
    assert (code, text.strip()) == (0, EXPECTED_NETWORK)
    code, text = await world.run(sandbox, ["python3", "-c", RACE, private, str(port)])
    if is_exact(launcher):
        assert (code, text.strip()) == (0, "reached 0")
        code, text = await world.run(sandbox, ["python3", "-c", SWAP, private, str(port)])
        assert (code, text.strip()) == (0, "{'connect': 0, 'bind': 0}")
    assert "Traceback" not in launcher.said()


READ = (
    SAYS
    + """
secret, pid, upper = sys.argv[1:]
os.symlink(secret, "/tmp/link")
places = [secret, "/tmp/link", "/proc/self/root" + secret, f"/proc/{pid}/root/etc/passwd", f"/proc/{pid}/environ"]
for number, place in enumerate([*places, f"/proc/{pid}/mem", f"/proc/{pid}/fd/0", upper]):
    says(number, lambda: open(place).read(1))
says("changed", lambda: open(secret, "r+").read())
says("linked", lambda: os.link(secret, "/tmp/own"))
says("own", lambda: [open("/data/key").read(), open(os.path.realpath("/proc/self/fd/%d" % os.open("/data/key", 0))).read()])
"""
)


async def test_what_other_pods_were_given_cannot_be_read(world: World, launcher: LauncherProcess) -> None:
    """Their volumes and layers lie in Wherry's state directory, and their processes run as the same user."""
    secret, own = world.volume("secret"), world.volume("own")
    for folder in (secret, own):
        (folder / "key").write_text("k")
    first, second = await world.sandbox(), await world.sandbox()
    mounts = [Mount(secret, "/data", readonly=True)]
    victim = await world.start(first, ["sh", "-c", "echo 1 > /opt/layer; echo up; sleep 1000"], mounts=mounts)
    await world.until_printed(victim, "up")
    status = await world.runtime.container_status(victim)
    assert status is not None
    [layer] = world.folder.rglob("upper/opt/layer")
    command = ["python3", "-c", READ, str(secret / "key"), str(status.pid), str(layer)]
    code, text = await world.run(second, command, mounts=[Mount(own, "/data", readonly=True)])
    answers = [f"{number} EACCES" for number in range(8)]
    assert (code, text.splitlines()) == (0, [*answers, "changed EPERM", "linked EPERM", "own ['k', 'k']"])


PLANT = """
import os, sys, time
os.rename("/data/inner", "/data/was"); os.symlink(sys.argv[1], "/data/inner")
os.rename("/data/kept", "/data/other"); os.symlink(sys.argv[2], "/data/kept")
print("planted", flush=True)
time.sleep(1000)
"""
FOLLOW = (
    SAYS
    + """
os.chdir(sys.argv[1])
says("write", lambda: open("./inner/file", "r+").write("gone"))
says("read", lambda: open("./kept/file").read())
"""
)


@pytest.mark.parametrize("readonly", [True, False], ids=["readonly", "writable"])
async def test_a_link_in_the_place_of_a_volume_gives_no_rights(
    world: World, launcher: LauncherProcess, outside: Path, readonly: bool
) -> None:
    """What a container was given is told to Landlock anew for each process that is executed beside it. Where the container has a
    layer, the link leads to a copy."""
    data, secret = world.volume("data"), world.volume("secret")
    for folder in (data / "inner", data / "kept"):
        folder.mkdir()
        folder.chmod(0o777)
    (secret / "file").write_text("hidden")
    mounts = [Mount(data, "/data"), Mount(data / "inner", "/inner"), Mount(data / "kept", "/kept", readonly=True)]
    container = await world.start(
        await world.sandbox(),
        ["python3", "-c", PLANT, str(outside), str(secret)],
        mounts=mounts,
        readonly_rootfs=readonly,
    )
    await world.until_printed(container, "planted")
    result = await world.runtime.exec_sync(container, ["python3", "-c", FOLLOW, str(data)], PATIENCE_SECONDS)
    write = b"write EACCES" if readonly else b"write EPERM" if HIDDEN else b"write 4"
    assert (result.exit_code, result.stdout.splitlines()) == (0, [write, b"read EACCES"])
    assert (outside / "file").read_text() == "inside"
