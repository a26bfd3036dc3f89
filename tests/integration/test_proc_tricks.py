"""Tier proc and programs that try to get, by a trick, what they were not given: each is refused, and how is said."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from runtime_world import World

from wherry.cri.interface import Mount
from wherry.testing.launcher_process import LauncherProcess, ordinary_user

PREPARE = """
import ctypes, errno, fcntl, os, signal, socket, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def says(what, call):
    try:
        print(what, call(), flush=True)
    except OSError as error:
        print(what, errno.errorcode.get(error.errno, error.errno), flush=True)
"""
LINKS = (
    PREPARE
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
    PREPARE
    + """
os.mkfifo("/tmp/pipe", 0o777)
says("pipe", lambda: os.execv("/tmp/pipe", ["pipe"]))
with open("/tmp/leased", "w") as leased:
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    says("leased", lambda: os.truncate("/tmp/leased", 0))
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
says("planted copy", lambda: open("/etc/passwd", "a").write("") or open("/opt/made", "w").write("x"))
"""
)
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
rename None
link EEXIST
symlink EEXIST
bind None"""


EXPECTED_CALLS = [
    *("pipe EACCES", "leased EAGAIN", "umask ['0o700', '0o600']", "mount point EBUSY", "long ENAMETOOLONG"),
    *(r"odd b'a\nb\xff'", "userfaultfd -1", "planted 4", "planted copy 1"),
]


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the user's, which the pods may read and write as far as modes say."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-outside-", dir="/var/lib" if os.geteuid() == 0 else Path.home()))
    folder.chmod(0o777)
    (folder / "file").write_text("inside")
    (folder / "file").chmod(0o666)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=[(), ("--no-exact",)], ids=["exact", "rewriting"])
def launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    launcher = LauncherProcess("proc", user=ordinary_user(), options=request.param)
    launcher.exact = not request.param  # type: ignore[attr-defined]
    yield launcher
    launcher.close()


@pytest.fixture
async def world(launcher: LauncherProcess) -> AsyncIterator[World]:
    world = World(launcher)
    yield world
    await world.close()


@pytest.mark.parametrize("readonly", [True, False], ids=["readonly", "writable"])
async def test_links_lead_where_the_container_could_go_by_itself(
    world: World, launcher: LauncherProcess, outside: Path, readonly: bool
) -> None:
    data = launcher.state / f"data-{world.folder.name}"
    (data / "inner").mkdir(parents=True)
    data.chmod(0o777)
    (data / "inner/file").write_text("inside")
    sandbox = await world.sandbox()
    code, text = await world.run(
        sandbox,
        ["python3", "-c", LINKS, str(outside), "/data" if readonly else "/tmp"],
        mounts=[Mount(data, "/data")],
        readonly_rootfs=readonly,
    )
    expected = EXPECTED_LINKS + (REFUSED if readonly else COPIED)
    if not launcher.exact:  # type: ignore[attr-defined]
        expected = expected.rpartition("bind")[0] + "bind ENOENT"
    assert (code, text.strip()) == (0, expected)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "inside"


async def test_calls_that_would_make_the_shim_wait_or_err(
    world: World, launcher: LauncherProcess, outside: Path
) -> None:
    data = launcher.state / f"data-{world.folder.name}"
    data.mkdir(mode=0o777)
    sandbox = await world.sandbox()
    code, text = await world.run(sandbox, ["python3", "-c", CALLS, str(outside)], mounts=[Mount(data, "/data")])
    assert (code, text.splitlines()) == (0, EXPECTED_CALLS)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "inside"
    assert "Traceback" not in launcher.said()
