"""Storms: programs that race their own memory, fork, die and fill everything while the shim answers them.

After each the shim answers others, is the same process, has said nothing, and holds no more descriptors and memory than before.
Seeded; what a storm does between two calls is up to the kernel. Each ends by itself, or is ended.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ill_programs import ELSEWHERE
from runtime_world import World, proc_launcher, shims, world

from wherry.cri.interface import Mount
from wherry.launcher.proc import notify
from wherry.testing.launcher_process import LauncherProcess, ordinary_user

__all__ = ["world"]

PREPARE = """
import ctypes, fcntl, os, random, resource, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
rng = random.Random(int(os.environ["SEED"]))
sys.setswitchinterval(1e-4)
end = time.monotonic() + 1
def goes_on(): return time.monotonic() < end
def tries(call, *arguments):
    try:
        return call(*arguments)
    except OSError:
        return None
"""
GARBAGE = """
calls = [int(number) for number in sys.argv[1].split(",")]
block = ctypes.create_string_buffer(16384)
base = ctypes.addressof(block)
def value():
    inside = base + rng.randrange(16384)
    odd = [0, 1, 3, 16, 110, 128, 4096, 1 << 16, -1, -100, 1 << 31, 1 << 62, rng.getrandbits(64)]
    return rng.choice([*odd, inside, inside, inside])
pieces = [b"/tmp/", b"..", b"/", bytes(1), b"/data/", b"\\xff\\n", b"x" * 300, bytes(8), struct.pack("=QQ", base, 64),
          struct.pack("=H", 2), struct.pack("=H", 10), struct.pack("=H", 1), bytes((127, 0, 0, 1)), struct.pack("=QI", base, 16)]
def fill():
    while goes_on():
        data = b"".join(rng.choice(pieces) for _ in range(60))[:8192]
        ctypes.memmove(base + rng.randrange(8192), data, len(data))
        time.sleep(0)
threading.Thread(target=fill).start()
kinds = [(2, 1), (2, 2), (10, 1), (10, 2), (1, 1), (1, 2), (1, 5), (16, 3), (40, 1), (38, 5), (17, 3)]
socks = [sock for sock in (tries(socket.socket, *kind) for kind in kinds) if sock]
for sock in socks: sock.setblocking(False)
names = {42, 44, 45, 46, 47, 49, 50, 51, 52, 299, 307}
while goes_on():
    number = rng.choice(calls)
    values = [value() for _ in range(6)]
    arguments = [ctypes.c_long(each - (1 << 64) if each >> 63 == 1 else each) for each in values]
    if number in names:
        arguments[0] = ctypes.c_long(rng.choice(socks).fileno())
    pid = os.fork() if number == 59 or rng.random() < 0.01 else -1
    if pid > 0:
        if rng.random() < 0.5: os.kill(pid, 9)
        os.waitpid(pid, 0)
        continue
    libc.syscall(number, *arguments)
    if pid == 0: os._exit(0)
os._exit(0)
"""
DEATHS = """
clone = {"plain": 17, "files": 17 | 0x400, "parent": 17 | 0x8000, "vm and files": 17 | 0x4100}
def busy():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        tries(os.chdir, "/data"); tries(os.stat, "/data/x"); tries(open, "/tmp/new", "w")
        tries(sock.sendto, b"x", ("127.0.0.1", 9))
        with socket.socket() as stream: tries(stream.connect, ("127.0.0.1", 9))
while goes_on():
    kind = rng.choice(["plain", "files", "parent", "exec"])
    pid = libc.syscall(56, ctypes.c_long(clone.get(kind, 17)), 0, 0, 0, 0)
    if pid == 0:
        if kind == "exec":
            threading.Thread(target=busy, daemon=True).start()
            time.sleep(rng.random() / 100)
            os.execv("/bin/true", ["true"])
        busy()
    time.sleep(rng.random() / 50)
    tries(os.kill, pid, 9)
    if kind != "parent": os.waitpid(pid, 0)
os._exit(0)
"""
FULL = """
resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
held = []
while len(held) < 2000 and goes_on():
    one = tries(rng.choice([lambda: socket.socket(2, 2), lambda: open("/tmp/file", "w"), lambda: socket.socket()]))
    held.append(one)
    if one is None: break
for _ in range(200):
    tries(os.open, "/tmp/file", 0); tries(socket.socket, 2, 2); tries(os.stat, "/tmp/file"); tries(os.chdir, "/tmp")
    for sock in held[:5]:
        if hasattr(sock, "bind"): tries(sock.bind, ("127.0.0.1", 0))
for number in range(3, 990): tries(os.close, number)
for _ in range(3000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0)); sock.getsockname()
os._exit(0)
"""
LINKS = """
outside = sys.argv[1]
os.makedirs("/tmp/a/b", exist_ok=True)
def flip():
    while goes_on():
        for target in (outside, "/proc/self", "/tmp/a", "loop", "/"):
            tries(os.unlink, "/tmp/loop"); tries(os.symlink, target, "/tmp/loop")
            tries(os.rename, "/tmp/a/b", "/tmp/a/c"); tries(os.symlink, outside, "/tmp/a/b")
            tries(os.unlink, "/tmp/a/b"); tries(os.rename, "/tmp/a/c", "/tmp/a/b")
threads = [threading.Thread(target=flip) for _ in range(2)]
for thread in threads: thread.start()
calls = [lambda path: os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)), os.unlink, os.mkdir, os.rmdir,
         lambda path: os.truncate(path, 0), lambda path: os.chmod(path, 0), lambda path: os.rename(path, "/tmp/taken"), os.stat,
         os.readlink, lambda path: os.utime(path, (0, 0)), lambda path: os.link(path, "/tmp/linked"), os.mkfifo, os.chdir]
while goes_on():
    places = ["/tmp/loop/file", "/tmp/a/b/file", "/tmp/loop", "/tmp/a/b/../b/file", "/proc/self/cwd/file"]
    tries(rng.choice(calls), rng.choice(places))
os._exit(0)
"""
MANY = """
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
threading.stack_size(65536)
def calls():
    while goes_on(): tries(os.stat, "/tmp/x"); tries(os.chdir, "/data"); tries(os.listdir, "/tmp")
threads = [threading.Thread(target=calls) for _ in range(60)]
for thread in threads: thread.start()
ours, theirs = socket.socketpair()
while goes_on():
    pids = [os.fork() for _ in range(3)]
    if 0 in pids:
        libc.ptrace(0, 0, 0, 0)  # PTRACE_TRACEME: then nobody else may
        signal.setitimer(signal.ITIMER_REAL, 0)
        tries(os.chdir, "/data"); tries(os.execv, "/tmp/none", ["x"])
        with socket.socket(2, 2) as sock: tries(socket.send_fds, ours, [b"x"], [sock.fileno()])
        os._exit(0)
    for pid in pids:
        tries(os.kill, pid, 9); os.waitpid(pid, 0)
    if select.select([theirs], [], [], 0)[0]:
        for fd in socket.recv_fds(theirs, 1, 9)[1]:
            with socket.socket(fileno=fd) as sock: tries(sock.sendmsg, [b"x"], [], 0, ("127.0.0.1", 9))
os._exit(0)
"""
WAITS = """
full = socket.create_server(("127.0.0.1", 0), backlog=0)
queue = socket.socket(socket.AF_UNIX); queue.bind("/tmp/queue"); queue.listen(0)
socks = []
def flip(sock):
    while goes_on(): fcntl.fcntl(sock, fcntl.F_SETFL, 0)
for _ in range(6):
    one, two = socket.socket(), socket.socket(socket.AF_UNIX)
    for sock, place in ((one, full.getsockname()), (two, "/tmp/queue")):
        sock.setblocking(False)
        socks.append(sock)
        threading.Thread(target=flip, args=(sock,), daemon=True).start()
        threading.Thread(target=lambda sock=sock, place=place: tries(sock.connect, place), daemon=True).start()
while goes_on(): time.sleep(0.05)
os._exit(0)
"""
STORMS = {"garbage": GARBAGE, "deaths": DEATHS, "full": FULL, "links": LINKS, "many": MANY, "waits": WAITS}
SERVER = """
import socket
sock = socket.create_server(("", 8080))
print("listens", flush=True)
while True:
    client, _ = sock.accept()
    client.sendall(open("/data/file").read().encode())
    client.close()
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], 8080), timeout=20) as sock: print(sock.recv(99).decode())
"""
GROWTH_KILOBYTES_MAX = 6000  # of a process that begins with some 20 MB
GROWTH_DESCRIPTORS_MAX = 600  # pidfds of threads and sockets that are kept: both bounded
OWNED = ordinary_user() is None
"""Pods run as who runs the tests, whose files' modes they may change, see docs/tiers.md."""
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        OWNED and os.geteuid() == 0, reason="as root a storm takes the modes of the machine's own programs"
    ),
]


launcher = proc_launcher(folder=ELSEWHERE)


def holds(pid: int) -> tuple[int, int]:
    """Descriptors, and kilobytes of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return len(os.listdir(f"/proc/{pid}/fd")), int(own.split()[1])


@pytest.mark.parametrize("storm", STORMS)
async def test_a_storm_hurts_nobody_else(world: World, launcher: LauncherProcess, storm: str) -> None:
    outside, own = world.volume("outside"), world.volume("own")
    for folder in (outside, own):
        (folder / "file").write_text("as it was")
        (folder / "file").chmod(0o666)
    config = world.config()
    sandbox = await world.runtime.run_pod_sandbox(config)
    mounts = [Mount(own, "/data")]
    server = await world.start(sandbox, ["python3", "-c", SERVER], mounts=mounts)
    await world.until_printed(server, "listens")
    other = await world.sandbox()
    answers = shims(launcher)[-1]
    before = holds(answers)
    calls = sorted({**notify.NETWORK, **notify.FILES, **notify.DATAGRAMS}.values())
    argument = str(outside) if storm == "links" else ",".join(map(str, calls))
    for seed in range(2):
        command = ["python3", "-c", PREPARE + STORMS[storm], argument]
        hostile = await world.start(other, command, env={"SEED": str(seed)}, mounts=mounts)
        asked = await world.run(sandbox, ["python3", "-c", ASK, config.ip])  # in the middle of it
        assert asked == (0, "as it was\n")
        await world.runtime.stop_container(hostile, 2, "SIGWINCH")  # it may have hurt itself so that it never ends
    assert await world.run(other, ["python3", "-c", ASK, config.ip]) == (0, "as it was\n")
    assert shims(launcher)[-1] == answers
    after = holds(answers)
    assert after[0] - before[0] < GROWTH_DESCRIPTORS_MAX
    assert after[1] - before[1] < GROWTH_KILOBYTES_MAX
    if OWNED:
        outside.chmod(0o777)
        (outside / "file").chmod(0o666)
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("file", "as it was")]
    assert launcher.said() == ""
