"""Tier proc: what any process of a user may do to another one of that user, and a pod may not: set its limits and priorities,
write into its places in /proc, use the user's keys, and mark or hold the user's files."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ill_programs import ELSEWHERE, SAYS
from runtime_world import World, is_exact, proc_launcher, world

from wherry.cri.interface import Mount
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["world"]

PREPARE = (
    SAYS
    + """
import resource, subprocess
def call(*arguments):
    if libc.syscall(*(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)) < 0:
        raise OSError(ctypes.get_errno(), "")
"""
)
SET = (
    PREPARE
    + """
def set_all(name, pid):
    says(name, lambda: resource.prlimit(pid, resource.RLIMIT_CORE)[0])
    says("limit", lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)) and None)
    says("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    says("of a group", lambda: os.setpriority(os.PRIO_PGRP, pid, 19))
    says("disk", lambda: call(251, 1, pid, 3 << 13))
    says("processors", lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid)))
    says("scheduler", lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)))
    says("attributes", lambda: call(314, pid, struct.pack("=IIQiIQQQ", 48, 3, 0, 19, 0, 0, 0, 0), 0))
for pid in sys.argv[1:]:
    set_all("another", int(pid))
says("all of the user", lambda: os.setpriority(os.PRIO_USER, 0, 19))
says("all on disk", lambda: call(251, 3, 0, 3 << 13))
says("nobody", lambda: os.setpriority(os.PRIO_PROCESS, 1 << 30, 19))
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
for pid in (0, os.getpid(), child.pid):
    set_all("own", pid)
thread = threading.Thread(target=threading.Event().wait, daemon=True)
thread.start()
says("own thread", lambda: os.sched_setaffinity(thread.native_id, {min(os.sched_getaffinity(0))}))
child.kill()
"""
)
REFUSED = ["limit EPERM", "priority EPERM", "of a group EPERM", "disk EPERM"]
REFUSED += ["processors EPERM", "scheduler EPERM", "attributes EPERM"]
DONE = [line.replace("EPERM", "None") for line in REFUSED]


launcher = proc_launcher(folder=ELSEWHERE)


async def pid_of(world: World, container: str) -> int:
    status = await world.runtime.container_status(container)
    assert status is not None
    return status.pid


async def test_limits_and_priorities_are_set_within_a_pod_only(world: World, launcher: LauncherProcess) -> None:
    """A limit of no CPU time would end another pod, or Wherry."""
    victim = await pid_of(world, await world.start(await world.sandbox(), ["sleep", "1000"]))
    sandbox = await world.sandbox()
    beside = await pid_of(world, await world.start(sandbox, ["sleep", "1000"]))
    others = [str(victim), str(launcher.process.pid)]
    code, text = await world.run(sandbox, ["python3", "-c", SET, *others])
    lines = text.splitlines()
    assert code == 0
    assert [line for line in lines if not line.startswith(("another", "own "))] == [
        *REFUSED * 2, "all of the user EPERM", "all on disk EPERM", "nobody ESRCH", *DONE * 3
    ]  # fmt: skip
    assert lines[-1] == "own thread None"
    assert sum(line.startswith("another") and line != "another EPERM" for line in lines) == 2  # to look at is allowed
    renice = ["python3", "-c", f"import os; os.setpriority(os.PRIO_PROCESS, {beside}, 7)"]
    assert await world.run(sandbox, renice) == (0, "")
    assert os.getpriority(os.PRIO_PROCESS, beside) == 7
    assert os.getpriority(os.PRIO_PROCESS, victim) == os.getpriority(os.PRIO_PROCESS, 0)  # as it began
    assert "Traceback" not in launcher.said()


MARKS = (
    PREPARE
    + """
fd = os.open("/given/file", os.O_RDONLY)
says("keys", lambda: call(250, 0, -4, 1))
says("new key", lambda: call(248, b"user\\0", b"x\\0", b"x", 1, -4))
says("found key", lambda: call(249, b"user\\0", b"x\\0", 0, 0))
says("flags", lambda: fcntl.ioctl(fd, 0x40086602, struct.pack("q", 0x80)))
says("attributes", lambda: fcntl.ioctl(fd, 0x401c5820, bytes(28)))
says("version", lambda: fcntl.ioctl(fd, 0x40087602, struct.pack("q", 7)))
says("verity", lambda: fcntl.ioctl(fd, 0x40806685, bytes(128)))
says("subvolume", lambda: fcntl.ioctl(os.open("/given", 0), 0x5000940e, bytes(1000)))
says("lease", lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK))
says("look", lambda: len(fcntl.ioctl(fd, 0x80086601, bytes(8))))
for family in (21, 30, 33): says(family, lambda: socket.socket(family, socket.SOCK_SEQPACKET))
says("sequenced", lambda: socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET))
"""
)
MARKED = [
    *("keys ENOSYS", "new key ENOSYS", "found key ENOSYS", "flags ENOTTY", "attributes ENOTTY", "version ENOTTY"),
    *("verity ENOTTY", "subvolume ENOTTY", "lease EINVAL", "look 8"),
    *("21 EAFNOSUPPORT", "30 EAFNOSUPPORT", "33 EAFNOSUPPORT", "sequenced EPROTONOSUPPORT"),
]


async def test_keys_leases_and_marks_of_files_are_out_of_reach(world: World) -> None:
    """Any descriptor would be enough for them; a lease makes other pods wait for a file that they share."""
    given = world.volume("given")
    (given / "file").write_text("x")
    command = ["python3", "-c", MARKS]
    code, text = await world.run(await world.sandbox(), command, mounts=[Mount(given, "/given", readonly=True)])
    assert (code, text.splitlines()) == (0, MARKED)


WRITE = (
    PREPARE
    + """
def write(path, text):
    def does():
        with open(path, "w") as file: file.write(text)
    return does
for pid in sys.argv[1:]:
    for name in ("oom_score_adj", "autogroup", "coredump_filter", "clear_refs", "comm"):
        says(name, write(f"/proc/{pid}/{name}", "1"))
child = subprocess.Popen(["sleep", "1000"])
says("of a child", write(f"/proc/{child.pid}/oom_score_adj", "500"))
says("own", write("/proc/self/oom_score_adj", "500"))
says("is", lambda: [open(f"/proc/{pid}/oom_score_adj").read().strip() for pid in (child.pid, "self")])
says("name", write("/proc/thread-self/comm", "called-so"))
says("of a thread", write("/proc/self/task/%d/comm" % threading.get_native_id(), "called-so"))
says("is", lambda: open("/proc/self/comm").read().strip())
says("machine", write("/proc/sys/kernel/core_pattern", "x"))
child.kill()
"""
)
WRITTEN = [
    *["oom_score_adj EACCES", "autogroup EACCES", "coredump_filter EACCES", "clear_refs EACCES", "comm EACCES"] * 2,
    *("of a child None", "own None", "is ['500', '500']", "name None", "of a thread None", "is called-so"),
    f"machine {'EROFS' if os.statvfs('/proc/sys').f_flag & os.ST_RDONLY else 'EACCES'}",  # as an outer container has it
]


async def test_a_program_writes_about_itself_only(world: World, launcher: LauncherProcess) -> None:
    """Into /proc, where Landlock cannot tell processes apart: as user 0 it could be the machine's settings."""
    victim = await pid_of(world, await world.start(await world.sandbox(), ["sleep", "1000"]))
    command = ["python3", "-c", WRITE, str(victim), str(launcher.process.pid)]
    code, text = await world.run(await world.sandbox(), command)
    assert (code, text.splitlines()) == (0, WRITTEN)
    assert Path(f"/proc/{victim}/oom_score_adj").read_text().strip() != "500"
    assert "Traceback" not in launcher.said()


@pytest.fixture
def session() -> Iterator[Path]:
    """What a user's session, or an outer container, has in /run; who may not write there has a home that is as closed."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-session-", dir="/run" if os.geteuid() == 0 else Path.home()))
    folder.chmod(0o777)
    (folder / "token").write_text("secret")
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(folder / "bus"))
        (folder / "bus").chmod(0o777)
        bus.listen()
        bus.settimeout(0)
        yield folder
        with pytest.raises(BlockingIOError):
            bus.accept()
    shutil.rmtree(folder)


SESSION = (
    PREPARE
    + """
folder = sys.argv[1]
def connects(path):
    def does():
        with socket.socket(socket.AF_UNIX) as sock: sock.connect(path)
    return does
os.symlink(folder, "/tmp/link")
os.symlink(folder, "/dev/shm/" + os.path.basename(folder))
for name in (folder, "/tmp/link", "/dev/shm/" + os.path.basename(folder), "/proc/self/root" + folder):
    says("bus", connects(name + "/bus"))
    says("token", lambda: open(name + "/token").read())
os.unlink("/dev/shm/" + os.path.basename(folder))
os.chdir(folder)
says("near", connects("bus"))
says("gone", connects(folder + "/none"))
with socket.socket(socket.AF_UNIX) as own:
    own.bind("/tmp/own"); own.listen()
    os.chdir("/tmp")
    for name in ("/tmp/own", "own", "/proc/self/cwd/own", os.path.realpath("/proc/self/cwd") + "/own"):
        says("own", connects(name))
try:
    with open(folder + "/token", "w+") as file: file.write("own")
    print("written", open(folder + "/token").read())
except OSError as error:
    print("refused", errno.errorcode[error.errno])
"""
)


async def test_a_session_of_the_machine_is_out_of_reach(world: World, session: Path) -> None:
    """Its bus starts programs for whoever connects; the tokens of an outer container lie in /run too."""
    code, text = await world.run(await world.sandbox(), ["python3", "-c", SESSION, str(session)])
    last = "written own" if session.parent == Path("/run") else "refused EPERM"
    assert (code, text.splitlines()) == (
        0, [*["bus EACCES", "token EACCES"] * 4, "near EACCES", "gone ENOENT", *["own None"] * 4, last]
    )  # fmt: skip
    assert (session / "token").read_text() == "secret"


SWAP = (
    PREPARE
    + """
unix, target = struct.pack("=H", 1), sys.argv[1].encode()
names = [unix + bytes(1) + b"x" * (len(target) - 1), unix + target]
place = ctypes.create_string_buffer(names[0], 110)
done = threading.Event()
def flip():
    while not done.is_set():
        for each in names: ctypes.memmove(place, each, len(each))
sys.setswitchinterval(1e-5)
thread = threading.Thread(target=flip)
thread.start()
answers, turns = set(), 0
while turns < 2000 or not {"EACCES", "ECONNREFUSED"} <= answers:  # it was looked at while it was either
    turns += 1
    with socket.socket(socket.AF_UNIX) as sock:
        answers.add(errno.errorcode[ctypes.get_errno()] if libc.connect(sock.fileno(), place, len(names[0])) else "reached")
done.set()
thread.join()
print(*sorted(answers - {"ENOENT"}), flush=True)  # which is what a name half written leads to
"""
)


async def test_no_race_leads_to_a_socket_of_the_machine(world: World, launcher: LauncherProcess, session: Path) -> None:
    """Neither by a name that is an abstract one while the shim looks at it."""
    if not is_exact(launcher):
        pytest.skip("where duplicates may not be taken this is no barrier")
    code, text = await world.run(await world.sandbox(), ["python3", "-c", SWAP, str(session / "bus")])
    assert (code, text) == (0, "EACCES ECONNREFUSED\n")
    assert "Traceback" not in launcher.said()


ABSTRACT = (
    PREPARE
    + """
def pair(kind, name):
    server, client = socket.socket(socket.AF_UNIX, kind), socket.socket(socket.AF_UNIX, kind)
    server.bind(name)
    if kind != socket.SOCK_DGRAM: server.listen()
    says("connect", lambda: client.connect(server.getsockname()))
    client.send(b"x")
    print(server.recv(1) if kind == socket.SOCK_DGRAM else server.accept()[0].recv(1))
    return server, client
kinds = ((socket.SOCK_STREAM, b"\\0stream"), (socket.SOCK_SEQPACKET, b"\\0packets"), (socket.SOCK_DGRAM, b"\\0datagrams"))
kept = [pair(*each) for each in kinds]
kept.append(pair(socket.SOCK_STREAM, ""))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    says("message", lambda: sock.sendmsg([b"x"], [], 0, b"\\0datagrams"))
    says("nobody", lambda: sock.connect(b"\\0" + os.urandom(8)))
    says("another's", lambda: sock.connect(b"\\0" + sys.argv[1].encode()))
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock: says("netlink", lambda: sock.connect((0, 0)))
"""
)


async def test_abstract_names_are_a_pods_own(world: World, launcher: LauncherProcess) -> None:
    name = f"wherry-test-{world.folder}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(b"\0" + os.fsencode(name))
        code, text = await world.run(await world.sandbox(), ["python3", "-c", ABSTRACT, name])
    refused = "ECONNREFUSED" if is_exact(launcher) else "EPERM"
    assert (code, text.splitlines()) == (
        0, [*["connect None", "b'x'"] * 4, "message 1", "nobody ECONNREFUSED", f"another's {refused}", "netlink None"]
    )  # fmt: skip


OTHER_FAMILY = (
    PREPARE
    + """
libc = ctypes.CDLL(None, use_errno=True)
def bind(sock):
    if libc.bind(sock.fileno(), address, len(address)): raise OSError(ctypes.get_errno(), "")
address = b"\\1\\0/tmp/of-unix"
for family, kind in ((socket.AF_NETLINK, socket.SOCK_RAW), (socket.AF_UNIX, socket.SOCK_STREAM)):
    with socket.socket(family, kind) as sock: says(family.name, lambda: bind(sock))
"""
)


async def test_a_path_for_a_socket_that_knows_none_is_the_kernels_to_refuse(
    world: World, launcher: LauncherProcess
) -> None:
    code, text = await world.run(await world.sandbox(), ["python3", "-c", OTHER_FAMILY])
    assert (code, text.splitlines()) == (0, ["AF_NETLINK EINVAL", "AF_UNIX None"])
    assert "Traceback" not in launcher.said()
