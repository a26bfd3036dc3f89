"""Tier proc: what any process of a user may do to another one of that user, and a pod may not: set its limits and priorities,
write into its places in /proc, use the user's keys, and mark or hold the user's files."""

from __future__ import annotations

import os

from ill_programs import ELSEWHERE, SAYS
from runtime_world import World, proc_launcher, world

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


launcher = proc_launcher(both_ways=False, folder=ELSEWHERE)


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
    assert os.getpriority(os.PRIO_PROCESS, victim) == 0
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
