"""Tier proc and shared memory: /dev/shm is the pod's, its containers', and nobody else's; for what programs do with it."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ill_programs import SAYS
from runtime_world import PATIENCE_SECONDS, World, proc_launcher, world

from wherry.cri.interface import Mount
from wherry.launcher.proc.shared_memory import MACHINES, names

__all__ = ["world"]

launcher = proc_launcher()

USES = """
import ctypes, mmap, multiprocessing, os, socket, tempfile
from multiprocessing import shared_memory
segment = shared_memory.SharedMemory("segment", create=True, size=1 << 20)
segment.buf[:5] = b"hello"
other = shared_memory.SharedMemory("segment")
print(os.listdir("/dev/shm"), os.path.getsize("/dev/shm/segment"), bytes(other.buf[:5]))
other.close(); segment.close(); segment.unlink()
def add(lock, number):
    with lock: number.value += 1
lock, number = multiprocessing.Lock(), multiprocessing.Value("i", 0)
adders = [multiprocessing.get_context("fork").Process(target=add, args=(lock, number)) for _ in range(4)]
for each in adders: each.start()
for each in adders: each.join()
print(number.value)
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
named = libc.sem_open(b"/named", os.O_CREAT | os.O_EXCL, 0o600, 1)
print(bool(named), os.listdir("/dev/shm"), libc.sem_unlink(b"/named"))
os.mkdir("/dev/shm/dynamic", 0o700)
with open("/dev/shm/dynamic/x", "w+b") as file:
    file.truncate(8192); mmap.mmap(file.fileno(), 8192)[4096:4100] = b"more"
os.rename("/dev/shm/dynamic/x", "/dev/shm/dynamic/y")
dev = os.open("/dev", os.O_RDONLY)
print("shm" in os.listdir("/dev"), os.stat("shm/dynamic/y", dir_fd=dev).st_size)
with os.fdopen(os.open("shm/dynamic/y", os.O_RDONLY, dir_fd=dev)) as file: print(file.read()[4096:4100])
os.chdir("/dev/shm/dynamic")
print(os.getcwd(), os.path.realpath("y"), open("y").read()[4096:4100], open("/dev/shm/../shm/dynamic/y").read()[4096:4100])
os.chdir("/dev"); print(open("shm/dynamic/y").read()[4096:4100])
os.symlink("/dev/shm/dynamic", "/tmp/link"); os.symlink("/etc/hostname", "/dev/shm/out")
print(open("/tmp/link/y").read()[4096:4100], open("/dev/shm/out").read() == open("/etc/hostname").read())
fd = os.open("/dev/shm/dynamic/y", os.O_RDWR); os.fchmod(fd, 0o640)
print(open("/proc/self/fd/%d" % fd).read()[4096:4100], oct(os.stat("/dev/shm/dynamic/y").st_mode)[-3:])
nameless = tempfile.TemporaryFile(dir="/dev/shm"); nameless.write(b"x")
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind("/dev/shm/socket"); server.listen(); client.connect("/dev/shm/socket")
    print(server.getsockname(), client.getpeername())
print(oct(os.stat("/dev/shm").st_mode), os.statvfs("/dev/shm").f_blocks > 0, sorted(os.listdir("/dev/shm")))
try: os.rmdir("/dev/shm")
except OSError as error: print(error.strerror)
"""
USED = """\
['segment'] 1048576 b'hello'
4
True ['sem.named'] 0
True 8192
more
/dev/shm/dynamic /dev/shm/dynamic/y more more
more
more True
more 640
/dev/shm/socket /dev/shm/socket
0o41777 True ['dynamic', 'out', 'socket']
Device or resource busy
"""
STEALS = (
    SAYS
    + """
mark, theirs = sys.argv[1:]
fd = os.open("/dev/fd", os.O_RDONLY); root = os.open("/", os.O_RDONLY); dev = os.open("/dev", os.O_RDONLY)
os.symlink(theirs, "/dev/shm/link"); os.symlink("/proc/self/root" + theirs, "/dev/shm/root")
os.symlink("/proc/self/root/dev/shm", "/tmp/all")
for path in (mark, theirs):
    last = path[len("/dev/shm/"):]
    for name in (path, "/dev/./shm/" + last, "/proc/self/root" + path, "/dev/shm/../shm/" + last, "/dev/shm/root",
                 "/dev/shm/link", "/dev/fd/../../../dev/shm/" + last, "/tmp/all/" + last,
                 "/proc/%d/root%s" % (os.getppid(), path)):
        says("read", lambda: open(name).read())
        says("write", lambda: os.open(name, os.O_WRONLY))
    for how in (lambda: os.open("dev/shm/" + last, os.O_RDWR, dir_fd=root), lambda: os.open("shm/" + last, os.O_RDWR, dir_fd=dev),
                lambda: os.open("pts/../shm/" + last, os.O_RDWR, dir_fd=dev), lambda: os.unlink("pts/../shm/" + last, dir_fd=dev),
                lambda: os.unlink("/proc/self/root" + path), lambda: os.link("/proc/self/root" + path, "/tmp/mine"),
                lambda: os.rename("/proc/self/root" + path, "/dev/shm/mine"), lambda: os.chmod("/proc/self/root" + path, 0),
                lambda: os.truncate("/proc/self/root" + path, 0)):
        says("otherwise", how)
says("new", lambda: os.close(os.open("/proc/self/root/dev/shm/made", os.O_CREAT | os.O_WRONLY)))
os.close(os.open("pts/../shm/own", os.O_CREAT | os.O_WRONLY, dir_fd=dev)); os.stat("/dev/shm/own")
says("near", lambda: [os.chdir(os.path.dirname(theirs)), open("secret").read()])
"""
)


@pytest.fixture
def mark() -> Iterator[Path]:
    """A file in the machine's, which everybody may read."""
    path = Path(MACHINES) / f"mark-of-a-test-{uuid.uuid4().hex}"
    path.write_text("the machine's")
    path.chmod(0o666)
    yield path
    path.unlink()


def place(world: World, sandbox: str) -> Path:
    """Where a pod's lies: in the one directory of this launcher's."""
    (found,) = Path(MACHINES).glob(f"wherry-*/{sandbox}")
    assert found.parent.stat().st_uid == world.launcher.state.stat().st_uid
    return found


async def test_programs_use_it_as_everywhere(world: World) -> None:
    assert await world.run(await world.sandbox(), ["python3", "-c", USES]) == (0, USED)


async def test_it_is_the_pods_for_as_long_as_that_lives(world: World, mark: Path) -> None:
    first, second = await world.sandbox(), await world.sandbox()
    assert await world.sh(first, "echo said > /dev/shm/said; ls /dev/shm") == (0, "said\n")
    assert await world.sh(first, "cat /dev/shm/said; echo more >> /dev/shm/said") == (0, "said\n")
    reads = await world.start(first, ["sh", "-c", "cat /dev/shm/*; until [ -e /dev/shm/end ]; do sleep 0.01; done"])
    assert await world.until_printed(reads, "more") == "said\nmore\n"
    result = await world.runtime.exec_sync(reads, ("sh", "-c", "ls /dev/shm; echo > /dev/shm/end"), PATIENCE_SECONDS)
    assert (result.exit_code, result.stdout) == (0, b"said\n")
    assert (await world.ended(reads)).exit_code == 0
    assert await world.sh(second, f"ls /dev/shm; cat {mark}") == (1, f"cat: {mark}: No such file or directory\n")
    folder = place(world, first)
    assert sorted(os.listdir(folder)) == ["end", "said"]
    await world.runtime.stop_pod_sandbox(first)
    async with asyncio.timeout(PATIENCE_SECONDS):  # whoever has pods of earlier tests still to remove does it meanwhile
        while os.listdir(folder.parent) != [second]:
            await asyncio.sleep(0.005)


async def test_nobody_else_gets_at_it(world: World, mark: Path) -> None:
    victim, thief = await world.sandbox(), await world.sandbox()
    assert (await world.sh(victim, "echo token > /dev/shm/secret; chmod 666 /dev/shm/secret"))[0] == 0
    secret = place(world, victim) / "secret"
    code, text = await world.run(thief, ["python3", "-c", STEALS, str(mark), str(secret)])
    assert code == 0, text
    lines = text.splitlines()
    assert len(lines) == 2 * (9 * 2 + 9) + 2, text
    refused = {"EACCES", "ENOENT", "EXDEV", "EPERM", "ENOTDIR"}
    assert [line for line in lines if line.split()[-1] not in refused] == []
    assert (secret.read_text(), mark.read_text()) == ("token\n", "the machine's")
    assert not (Path(MACHINES) / "made").exists()


async def test_a_pod_with_the_machines_ipc_has_the_machines(world: World, mark: Path) -> None:
    sandbox = await world.sandbox(host_ipc=True)
    script = f"cat {mark}; echo -n changed > {mark}; cd /dev/shm; cat {mark.name}; touch {mark}-2; chmod 600 {mark}-2"
    assert await world.sh(sandbox, f"{script}; mv {mark}-2 {mark}-3; rm {mark}-3; pwd") == (
        0,
        "the machine'schanged/dev/shm\n",
    )
    assert not list(Path(MACHINES).glob(f"wherry-*/{sandbox}"))


async def test_a_volume_takes_its_place(world: World) -> None:
    sandbox, volume = await world.sandbox(), world.volume("memory")
    mounts = (Mount(volume, "/dev/shm"),)
    assert await world.sh(sandbox, "echo x > /dev/shm/x; ls /dev/shm", mounts=mounts) == (0, "x\n")
    assert os.listdir(volume) == ["x"]
    assert await world.sh(sandbox, "ls /dev/shm") == (0, "")
    mounts = (Mount(volume, "/dev/shm/below"),)
    script = "cat /dev/shm/below/x; echo y > /dev/shm/y; ls /dev/shm"
    assert await world.sh(sandbox, script, mounts=mounts, readonly_rootfs=True) == (0, "x\ny\n")


@pytest.mark.skipif(len(names()) == 1, reason="the machine has one name for it")
async def test_by_the_machines_other_name_it_is_the_same(world: World) -> None:
    script = "echo x > /run/shm/x; cat /dev/shm/x /var/run/shm/x; cd /run/shm; ls"
    assert await world.sh(await world.sandbox(), script) == (0, "x\nx\nx\n")


async def test_what_a_killed_launcher_leaves_is_removed_by_the_next(world: World) -> None:
    sandbox = await world.sandbox()
    assert (await world.sh(sandbox, "echo much > /dev/shm/segment"))[0] == 0
    folder = place(world, sandbox).parent
    world.runtime.close()
    world.launcher.kill()
    world.launcher.start()
    assert not folder.exists()
    after = World(world.launcher)
    assert await after.sh(await after.sandbox(), "ls /dev/shm; echo x > /dev/shm/x; cat /dev/shm/x") == (0, "x\n")
    await after.close()
