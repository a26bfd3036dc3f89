"""Images with a root file system of their own in tier proc: their programs with their own linker, links, volumes, ways out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_world import PATIENCE_SECONDS, World, proc_launcher, shims, small_image, world

from wherry.cri.interface import Mount
from wherry.images.rootfs import RootFS
from wherry.launcher.proc.interpreters import interpreter
from wherry.testing.launcher_process import LauncherProcess

__all__ = ["world"]

launcher = proc_launcher()

TRICKS = Path(__file__).parent / "own_root_tricks.py"
PYTHON = next(path for path in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable) if os.path.exists(path))
NAME = os.path.basename(PYTHON)
LINKER = "/opt/the-images-own-linker.so"


@pytest.fixture(scope="module")
def layers(launcher: LauncherProcess) -> Path:
    folder = launcher.state / "layers"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def image(layers: Path) -> RootFS:
    """A shell and some programs. Their linker lies where the machine has none."""
    layer = small_image(layers / "base", "ls", "cat", "ln", "rm", "mkdir", "readlink", "env", PYTHON)
    for name in (layer / "bin").iterdir():
        lead_to_own_linker(layer, name)
    for name in ("tmp", "etc", "srv/data", "run"):
        (layer / name).mkdir(parents=True, exist_ok=True)
        (layer / name).chmod(0o777)
    (layer / "etc/passwd").write_text("root:x:0:0::/home-of-the-image:/bin/sh\n")
    (layer / "etc/motd").write_text("of the image\n")
    (layer / "usr-links").symlink_to("bin")
    (layer / "var").mkdir()
    (layer / "var/run").symlink_to("/run")
    (layer / "srv/up").symlink_to("../etc")
    (layer / "srv/elsewhere").symlink_to("../run/mine")
    return RootFS((layer,))


def lead_to_own_linker(layer: Path, program: Path) -> None:
    """The program's linker is moved; what it is called in the file is written over."""
    fd = os.open(program, os.O_RDWR)
    try:
        found = interpreter(fd)
        assert found is not None
        name = LINKER.encode()[: len(found.path)]
        whole = program.read_bytes()
        linker = layer / os.fsdecode(name).lstrip("/")
        linker.parent.mkdir(parents=True, exist_ok=True)
        if not linker.exists():
            linker.write_bytes((layer / os.fsdecode(found.path).lstrip("/")).read_bytes())
            linker.chmod(0o755)
        os.pwrite(fd, name.ljust(len(found.path), b"\0"), whole.index(found.path + b"\0"))
    finally:
        os.close(fd)


def standard_library() -> Mount:
    """Of that python3, at its place."""
    ask = [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'), end='')"]
    place = subprocess.check_output(ask, text=True)
    return Mount(Path(place), place, readonly=True)


async def test_its_programs_run_with_its_own_linker(world: World, image: RootFS) -> None:
    sandbox = await world.sandbox()
    script = (
        "readlink /proc/self/exe; pwd; ls /; cat /etc/motd; echo $HOME; exec env -i PATH=/bin readlink /proc/self/exe"
    )
    code, said = await world.sh(sandbox, script, image)
    assert code == 0, said
    exe, cwd, *listed, motd, home, again = said.splitlines()
    assert (exe, cwd, motd, home, again) == (
        "/bin/readlink",
        "/",
        "of the image",
        "/home-of-the-image",
        "/bin/readlink",
    )
    assert {"bin", "etc", "srv", "tmp"} <= set(listed)
    assert not {"sbin", "usr", "boot"} & set(listed)


async def test_links_and_ways_up_lead_where_they_would(world: World, image: RootFS) -> None:
    script = (
        "cat /srv/up/motd srv/up/../etc/motd /../../etc/motd; /usr-links/readlink /srv/up; cd -P /var/run/..; /bin/ls -d srv;"
        "cd /srv/up && cat motd; ls /proc/self/root/etc/motd"
    )
    code, said = await world.sh(await world.sandbox(), script, image)
    assert (code, said.splitlines()) == (
        0, [*["of the image"] * 3, "../etc", "srv", "of the image", "/proc/self/root/etc/motd"],
    )  # fmt: skip


async def test_volumes_lie_in_it_by_every_name(world: World, image: RootFS) -> None:
    volume = world.volume("own")
    (volume / "token").write_text("secret\n")
    mounts = (Mount(volume, "/var/run/mine", readonly=True), Mount(volume, "/srv/data/deep", readonly=False))
    script = (
        "cat /var/run/mine/token /run/mine/token /srv/elsewhere/token; cd /srv/elsewhere && cat token && /bin/ls /run;"
        "echo x > /srv/data/deep/made; ls /srv/data /srv/data/deep; (echo y > /run/mine/z) 2> /dev/null || echo refused"
    )
    code, said = await world.sh(await world.sandbox(), script, image, mounts=mounts)
    lines = said.splitlines()
    assert (code, lines[:5]) == (0, ["secret"] * 4 + ["mine"]), said
    assert lines[5:-1] == ["/srv/data:", "deep", "", "/srv/data/deep:", "made", "token"]
    assert lines[-1] == "refused"
    assert (volume / "made").read_text() == "x\n"


async def test_scripts_find_their_interpreters_in_it(world: World, image: RootFS) -> None:
    script = (
        "printf '#!/usr-links/sh -e\\necho one $0 $1\\n' > /tmp/one; printf '#!/tmp/one\\n' > /tmp/two;"
        "printf '#!/bin/env sh\\necho three $1\\n' > /tmp/three; " + NAME + " -c '"
        'import os\nfor name in ("one", "two", "three"): os.chmod("/tmp/" + name, 0o755)\n'
        "'; /tmp/one a; cd /tmp; ./two b; ./three c"
    )
    code, said = await world.sh(await world.sandbox(), script, image, mounts=(standard_library(),))
    assert (code, said.splitlines()) == (0, ["one /tmp/one a", "one /tmp/one ./two", "three c"]), said


async def test_a_process_has_the_name_it_was_started_by(world: World, image: RootFS) -> None:
    script = "ln -s cat /bin/other; other /proc/self/comm; printf '#!/bin/sh\\ncat /proc/$$/comm\\n' > /bin/env; env"
    code, said = await world.sh(await world.sandbox(), script, image)
    assert (code, said) == (0, "other\nenv\n")


async def test_a_program_is_executed_by_its_descriptor(world: World, image: RootFS) -> None:
    script = "import os; os.execve(os.open('/bin/readlink', os.O_RDONLY), ['readlink', '/proc/self/exe'], {})"
    code, said = await world.run(
        await world.sandbox(), [NAME, "-c", script], image, mounts=(standard_library(),)
    )  # fmt: skip
    assert (code, said) == (0, "/bin/readlink\n")


async def test_a_program_that_was_replaced_is_the_new_one(world: World, image: RootFS) -> None:
    script = (
        "cat /bin/readlink > /tmp/x; cat /bin/ls > /bin/env; /bin/env -d /etc; cat /tmp/x > /bin/env; /bin/env /srv/up"
    )
    code, said = await world.sh(await world.sandbox(), script, image)
    assert (code, said) == (0, "/etc\n../etc\n")


async def test_what_it_changes_is_its_own(world: World, image: RootFS) -> None:
    script = "rm /etc/motd; echo new > /etc/made; mkdir /opt/more; ln -s /etc/made /opt/more/link; cat /opt/more/link; ls /etc"
    for _ in range(2):
        assert await world.sh(await world.sandbox(), script, image) == (0, "new\nmade\npasswd\n")
    assert (image.layers[0] / "etc/motd").read_text() == "of the image\n"
    assert not Path("/opt/more").exists()


async def test_what_a_layer_removes_is_gone(world: World, image: RootFS, layers: Path) -> None:
    above = layers / "above"
    (above / "etc").mkdir(parents=True)
    (above / "etc/added").write_text("")
    os.mknod(above / "etc/motd", 0o140000)
    os.utime(above / "etc/motd", ns=(0, 0))
    os.chmod(above / "etc/motd", 0)
    assert await world.sh(await world.sandbox(), "ls /etc", RootFS((above, *image.layers))) == (0, "added\npasswd\n")


async def test_a_read_only_root(world: World, image: RootFS) -> None:
    script = (
        "cat /etc/motd; (echo x > /etc/motd) || echo no; cd /etc; (echo x > new) || echo no; cat /var/run/mine/token;"
        "rm motd; ln -s x motd2"
    )
    volume = world.volume("ro")
    (volume / "token").write_text("secret\n")
    code, said = await world.sh(
        await world.sandbox(),
        script,
        image,
        readonly_rootfs=True,
        mounts=(Mount(volume, "/var/run/mine", readonly=True),),
    )
    refused = [line for line in said.splitlines() if "Read-only file system" in line]
    lines = [line for line in said.splitlines() if line not in refused]
    assert (code, len(refused), lines) == (1, 4, ["of the image", "no", "no", "secret"]), said


async def test_a_command_beside_it_sees_the_same(world: World, image: RootFS) -> None:
    container = await world.start(await world.sandbox(), ["sh", "-c", "echo mine > /etc/mine; cat"], image, stdin=True)
    result = await world.runtime.exec_sync(
        container, ["sh", "-c", "cat /etc/motd; readlink /proc/self/exe; ls /srv"], PATIENCE_SECONDS
    )
    assert (result.exit_code, result.stdout) == (0, b"of the image\n/bin/readlink\ndata\nelsewhere\nup\n")


async def test_no_way_leads_out_of_it(world: World, image: RootFS) -> None:
    secret = Path("/usr/share") if os.access("/usr/share", os.W_OK) else world.launcher.state
    secret = secret / f"of-the-machine-{os.getpid()}"
    secret.write_text("secret")
    program = next(path for path in ("/usr/bin/true", "/bin/true") if os.path.exists(path))
    try:
        code, said = await world.run(
            await world.sandbox(),
            [NAME, "-c", TRICKS.read_text(), str(secret), program],
            image,
            mounts=(standard_library(),),
        )
        assert (code, said) == (0, "done\n")
        assert secret.read_text() == "secret"
    finally:
        secret.unlink()


async def test_it_lives_on_when_a_shim_is_killed(world: World, image: RootFS) -> None:
    """In the end, because it leaves one shim less."""
    volume = world.volume("go")
    script = "echo begun; until [ -e /srv/data/go ]; do :; done; cat /srv/up/motd; readlink /proc/self/exe"
    mounts = (Mount(volume, "/srv/data", readonly=True),)
    container = await world.start(await world.sandbox(), ["sh", "-c", script], image, mounts=mounts)
    await world.until_printed(container, "begun")
    os.kill(shims(world.launcher)[-1], signal.SIGKILL)
    (volume / "go").touch()
    assert (await world.ended(container)).exit_code == 0
    assert (await world.printed(container)).splitlines() == ["begun", "of the image", "/bin/readlink"]


async def test_its_pods_shared_memory_is_there(world: World, image: RootFS) -> None:
    """Though /dev is the machine's; by the link that images have for it too."""
    sandbox = await world.sandbox()
    name = f"own-{os.getpid()}"
    script = f"echo shared > /dev/shm/{name}; ln -s /dev/shm /run/shm; cat /run/shm/{name} dev/shm/{name}; ls /dev/shm"
    assert await world.sh(sandbox, script, image) == (0, f"shared\nshared\n{name}\n")
    assert await world.sh(sandbox, f"cat /dev/shm/{name}") == (0, "shared\n"), "another container of the pod"
    assert not Path(f"/dev/shm/{name}").exists()
