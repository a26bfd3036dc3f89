"""Tier proc and what the owner of a file may do without writing: mode, owner, times. The machine's files keep theirs, by whatever
call or trick; what a container may write changes as everywhere, and programs that mean well notice nothing."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ill_programs import ELSEWHERE, HIDDEN, SAYS
from runtime_world import World, proc_launcher, world

from wherry.cri.interface import Mount
from wherry.testing.launcher_process import LauncherProcess, ordinary_user

__all__ = ["world"]

AGO = 1_000_000_000
"""Of every file outside: seconds since 1970."""
CALL = (
    SAYS
    + """
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0: raise OSError(ctypes.get_errno(), "")
    return result
NOW = -100
def long(*values): return struct.pack("=%dq" % len(values), *values)
"""
)
ILL = (
    CALL
    + """
outside = sys.argv[1]
def opened(path):
    try: return os.open(path, os.O_RDONLY)
    except PermissionError: return os.open(path, os.O_PATH)  # in a home
folder, file, other = (opened(outside + name) for name in ("", "/file", "/other"))
name = os.open(outside + "/other", os.O_PATH)
os.chdir(outside)
own = os.path.dirname(os.readlink("/proc/self/fd/%d" % os.open("/tmp/own", os.O_CREAT)))
os.symlink(outside, "/tmp/link")
os.symlink("/proc/self/fd/%d" % folder, "/tmp/number")
times = long(1, 0, 1, 0)
says("fchmod", lambda: call(91, folder, 0))
says("by number", lambda: call(90, b"/proc/self/fd/%d" % folder, 0))
says("of the process", lambda: call(90, b"/proc/%d/fd/%d" % (os.getpid(), folder), 0))
says("of the thread", lambda: call(90, b"/proc/thread-self/fd/%d" % folder, 0))
says("/dev/fd", lambda: call(90, b"/dev/fd/%d" % folder, 0))
says("by a link", lambda: call(90, b"/tmp/number", 0))
says("by another", lambda: call(90, b"/tmp/link", 0))
says("relative", lambda: call(268, folder, b".", 0))
says("here", lambda: call(90, b".", 0))
says("by cwd", lambda: call(90, b"/proc/self/cwd", 0))
says("by root", lambda: call(90, b"/proc/self/root" + outside.encode(), 0))
says("layer", lambda: [os.chdir(own), call(90, b"link", 0)])
says("absolute", lambda: call(90, outside.encode(), 0))
says("up", lambda: call(90, b"/tmp/.." + outside.encode(), 0))
says("empty", lambda: call(452, folder, b"", 0, 0x1000))
says("empty here", lambda: [os.chdir(outside), call(452, NOW, b"", 0, 0x1000)])
says("times", lambda: call(280, folder, None, times, 0))
says("now", lambda: call(280, folder, None, None, 0))
says("old times", lambda: call(261, folder, None, times))
says("utimes", lambda: call(235, outside.encode(), times))
says("utime", lambda: call(132, outside.encode(), times))
says("attribute", lambda: call(190, folder, b"user.x", b"y", 1, 0))
says("removed", lambda: call(199, folder, b"user.x"))
says("newest", lambda: call(463, folder, b"", 0x1000, b"user.x", long(0, 0), 16))
says("flags", lambda: call(469, folder, b"", long(0, 0, 0), 24, 0x1000))
says("same", lambda: call(91, folder, 0o777))
says("nothing", lambda: call(91, 999, 0))
says("no directory", lambda: call(91, NOW, 0))
for number, arguments in ((91, (file, 0)), (452, (name, b"", 0, 0x1000)), (280, (other, None, times, 0))):
    says(number, lambda: call(number, *arguments))
done = threading.Event()
AT = 100
mine = os.open("/tmp/own", os.O_RDWR)
def flip():
    while not done.is_set():
        os.dup2(folder, AT); os.dup2(mine, AT)
os.dup2(mine, AT)
sys.setswitchinterval(1e-5)
thread = threading.Thread(target=flip)
thread.start()
for turn in range(500): libc.syscall(91, AT, 0)
done.set()
thread.join()
print("raced", flush=True)
"""
)
REFUSED = """fchmod by-number of-the-process of-the-thread /dev/fd by-a-link by-another relative here by-cwd by-root layer
absolute up empty empty-here"""
TIMES = "times now old-times utimes utime"
WELL = (
    CALL
    + """
import pwd, tempfile
def mode(fd): return oct(os.fstat(fd).st_mode & 0o7777)
def seconds(fd): return int(os.fstat(fd).st_mtime)
def all_of(fd):
    os.fchmod(fd, 0o640); os.utime(fd, (1, 2)); os.fchown(fd, -1, -1)
    return mode(fd), seconds(fd)
def made(path): return os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
def gone():
    fd = made("/tmp/gone"); os.unlink("/tmp/gone")
    return fd
def pair(fds):
    for fd in fds: os.fchmod(fd, 0o600)
    return mode(fds[0])
for place in sys.argv[1:]: says(place, lambda: all_of(made(place + "/file")))
says("memory", lambda: all_of(os.memfd_create("x")))
says("gone", lambda: all_of(gone()))
says("nameless", lambda: all_of(os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)))
says("pipe", lambda: pair(os.pipe()))
says("socket", lambda: pair([each.detach() for each in socket.socketpair()]))
says("terminal", lambda: pair(os.openpty()[1:]))
says("shared", lambda: all_of(os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)))
os.chdir("/tmp"); fd = made("old")
says("old calls", lambda: [call(235, b"old", long(3, 0, 3, 5)), call(132, b"/tmp/old", long(4, 4)), seconds(fd)])
says("older", lambda: [call(261, NOW, b"old", long(5, 0, 5, 1)), seconds(fd), call(261, fd, None, long(6, 0, 6, 0)), seconds(fd)])
says("wrong", lambda: call(235, b"old", long(3, 0, 3, 1000000)))
says("empty", lambda: [call(452, os.open("old", os.O_PATH), b"", 0o611, 0x1000), mode(fd)])
says("by number", lambda: [os.chmod("/proc/self/fd/%d" % fd, 0o622), mode(fd)])
says("output", lambda: os.chmod("/dev/stdout", 0o600))
says("no flag", lambda: call(452, fd, b"", 0, 0x4))
says("no name", lambda: call(452, fd, b"", 0, 0))
says("nowhere", lambda: call(268, fd, None, 0))
says("lacks", lambda: os.chmod("lacks", 0))
def folder():
    os.mkdir("folder"); fd = os.open("folder", os.O_RDONLY); os.fchmod(fd, 0o711); os.utime(fd, (1, 2))
    return mode(fd), seconds(fd)
says("folder", folder)
def attribute():
    os.setxattr(fd, "user.x", b"y"); value = os.getxattr(fd, "user.x"); os.removexattr(fd, "user.x")
    return value, os.listxattr(fd)
says("attribute", attribute)
says("system's", lambda: os.setxattr(fd, "trusted.x", b"y"))
says("directory", lambda: os.utime("/usr", (1, 2)))
says("kernel's", lambda: os.utime("/proc/sys", (1, 2)))
print("same", os.fchmod(os.open("/usr", os.O_RDONLY), os.stat("/usr").st_mode & 0o7777), flush=True)
"""
)
ALL = "('0o640', 2)"
GIVEN = [
    *(f"{each} {ALL}" for each in ("memory", "gone", "nameless")),
    *("pipe 0o600", "socket 0o600", "terminal 0o600", f"shared {ALL}"),
    *("old calls [0, 0, 4]", "older [0, 5, 0, 6]", "wrong EINVAL", "empty [0, '0o611']", "by number [None, '0o622']"),
    *("output None", "no flag EINVAL", "no name ENOENT", "nowhere EFAULT", "lacks ENOENT", "folder ('0o711', 2)"),
    *("attribute (b'y', [])", "system's EPERM", "directory None", "kernel's EPERM", "same None"),
]


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the machine with files of the user's who runs the pods."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-owned-", dir=ELSEWHERE))
    user = ordinary_user()
    for path in (folder / "file", folder / "other", folder):
        if path != folder:
            path.write_text("as it was")
        path.chmod(0o777)
        os.utime(path, (AGO, AGO))
        if user is not None:
            shutil.chown(path, user)
    yield folder
    shutil.rmtree(folder)


launcher = proc_launcher(folder=ELSEWHERE)


@pytest.mark.parametrize("readonly", [True, False], ids=["readonly", "writable"])
async def test_the_machines_files_keep_mode_and_times(
    world: World, launcher: LauncherProcess, outside: Path, readonly: bool
) -> None:
    scratch = world.volume("scratch")
    command = ["python3", "-c", ILL, str(outside)]
    code, text = await world.run(
        await world.sandbox(), command, mounts=[Mount(scratch, "/tmp")], readonly_rootfs=readonly
    )
    word = "EROFS" if readonly else "EPERM"
    # a file is copied, as it is where its path is given; one that nobody may copy is not
    copied = word if readonly or HIDDEN else "0"
    unset = word if readonly else "ENOTSUP"
    expected = [f"{each.replace('-', ' ')} {word}" for each in REFUSED.split()]
    # of directories the layer has its own, which nobody sees but who makes an image of it
    expected += [f"{each.replace('-', ' ')} {word if readonly else 0}" for each in TIMES.split()]
    expected += [f"attribute {unset}", f"removed {unset}", "newest ENOTSUP", "flags ENOSYS"]
    expected += [
        f"same {word if readonly else 0}",
        "nothing EBADF",
        "no directory EBADF",
        *(f"{each} {copied}" for each in (91, 452, 280)),
    ]
    assert (code, text.splitlines()) == (0, [*expected, "raced"])
    for path in (outside, *outside.iterdir()):
        found = path.stat()
        assert (path.name, stat.S_IMODE(found.st_mode), found.st_mtime) == (path.name, 0o777, AGO)
    assert "Traceback" not in launcher.said()


async def test_what_a_container_may_write_changes_as_everywhere(world: World, launcher: LauncherProcess) -> None:
    scratch = world.volume("scratch")
    places = ["/opt", "/tmp", "/data"]
    code, text = await world.run(
        await world.sandbox(), ["python3", "-c", WELL, *places], mounts=[Mount(scratch, "/data")]
    )
    assert (code, text.splitlines()) == (0, [*(f"{place} {ALL}" for place in places), *GIVEN])
    assert stat.S_IMODE((scratch / "file").stat().st_mode) == 0o640
    assert [int(path.stat().st_mtime) for path in world.folder.rglob("upper/usr")] == [2]
    assert "Traceback" not in launcher.said()
