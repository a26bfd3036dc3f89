"""What a container can see, change and become, in both tiers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from runtime_world import PATIENCE_SECONDS, World, launcher, small_image, world

from wherry.cri.interface import Mount, RuntimeFailure
from wherry.images.rootfs import RootFS

__all__ = ["launcher", "world"]


async def test_nothing_of_the_launchers_environment_leaks(world: World) -> None:
    _, text = await world.run(await world.sandbox(), ["env"], env={"A": "b"})
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert names == {"A", "PATH", "HOSTNAME", "HOME"}


async def test_no_descriptor_leaks(world: World) -> None:
    _, text = await world.sh(await world.sandbox(), "ls /proc/self/fd")
    assert len(text.split()) == 4  # 0, 1, 2 and that of the directory


async def test_the_machine_is_there_without_its_secrets(world: World) -> None:
    sandbox = await world.sandbox()
    code, text = await world.sh(sandbox, "ls /usr/bin/env /etc/os-release")
    assert (code, text.split()) == (0, ["/etc/os-release", "/usr/bin/env"])
    python = Path(sys.prefix if world.launcher.user is None else "/usr")  # which is there, wherever it lies
    for path in ("/home", "/run", "/var/log", "/var/tmp"):
        way = python.relative_to(path).parts[0] + "\n" if python.is_relative_to(path) else ""
        assert await world.sh(sandbox, f"ls -A {path}") == (0, way)
    _, text = await world.sh(sandbox, f"ls -A {world.launcher.state}")
    assert "launcher.sock" not in text
    assert "launcher" not in text.split()


async def test_the_interpreter_runs_at_its_own_path(world: World) -> None:
    python = sys.executable if world.launcher.user is None else "/usr/bin/python3"
    package = Path(__file__).parents[2] / "src" if world.launcher.user is None else world.launcher.state / "src"
    script = "import wherry.launcher.protocol as p, sys; print(sys.prefix, p.__file__)"
    code, text = await world.run(await world.sandbox(), [python, "-c", script], env={"PYTHONPATH": str(package)})
    assert (code, str(package) in text) == (0, True), text
    code, text = await world.sh(await world.sandbox(), f"touch {package}/x")
    assert code != 0 or not (package / "x").exists()


async def test_writes_stay_in_the_container(world: World) -> None:
    sandbox = await world.sandbox()
    paths = "/etc/wherry-test /usr/local/lib/wherry-test /srv/wherry-test /wherry-test /tmp/wherry-test /var/log/wherry-test"
    code, text = await world.sh(sandbox, f"touch {paths} && ls {paths}")
    assert (code, sorted(text.split())) == (0, sorted(paths.split()))
    assert not any(Path(path).exists() for path in paths.split())
    code, _ = await world.sh(sandbox, f"ls {paths}")
    assert code == 2  # nor does another container of the pod see them


async def test_capabilities_are_the_container_default(world: World) -> None:
    sandbox = await world.sandbox()
    show = "grep -E '^Cap(Eff|Bnd)' /proc/self/status; grep NoNewPrivs /proc/self/status"
    _, text = await world.sh(sandbox, show)
    ours = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("NoNewPrivs"))
    assert text.split() == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", *ours.split()]
    _, text = await world.sh(
        sandbox, show, drop_capabilities=["ALL"], add_capabilities=["NET_BIND_SERVICE"], no_new_privileges=True
    )
    assert text.split() == ["CapEff:", "0000000000000400", "CapBnd:", "0000000000000400", "NoNewPrivs:", "1"]


async def test_the_kernels_switches_are_out_of_reach(world: World) -> None:
    sandbox = await world.sandbox()
    code, text = await world.sh(sandbox, "echo 1 > /proc/sys/kernel/panic")
    assert (code, "Read-only file system" in text) == (2, True)
    code, _ = await world.sh(sandbox, "mount -t tmpfs x /tmp")
    assert code != 0
    _, text = await world.sh(sandbox, "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk || echo refused")
    assert "refused" in text


async def test_every_user_can_be_asked_for(world: World) -> None:
    sandbox = await world.sandbox()
    code, text = await world.sh(
        sandbox,
        "id -u; id -g; touch /tmp/mine && stat -c %u /tmp/mine; grep CapEff /proc/self/status",
        uid=1234,
        gid=4321,
    )
    assert (code, text.split()) == (0, ["1234", "4321", "1234", "CapEff:", "0000000000000000"])
    sleeping = await world.start(sandbox, ["sleep", "1000"], uid=1234, gid=4321)
    assert (await world.runtime.exec_sync(sleeping, ["id", "-u"], PATIENCE_SECONDS)).stdout == b"1234\n"


async def test_images_that_drop_privileges_start(world: World) -> None:
    drop = "import os; os.chown('/tmp', 65534, 65534); os.setgroups([]); os.setgid(65534); os.setuid(65534); print('dropped')"
    assert await world.run(await world.sandbox(), ["/usr/bin/python3", "-c", drop]) == (0, "dropped\n")


async def test_a_read_only_root_takes_no_writes_but_its_volumes_do(world: World) -> None:
    sandbox = await world.sandbox()
    volume = _directory(world, "volume")
    code, text = await world.sh(
        sandbox,
        "touch /x; touch /etc/x; touch /tmp/x; touch /data/x && echo ok",
        readonly_rootfs=True,
        mounts=[Mount(volume, "/data")],
    )
    assert (code, text.count("Read-only file system"), text.splitlines()[-1]) == (0, 3, "ok")
    assert (volume / "x").exists()


async def test_mounts_of_files_and_directories(world: World) -> None:
    volume = _directory(world, "volume")
    (volume / "file").write_text("content")
    mounts = [
        Mount(volume / "file", "/etc/resolv.conf", readonly=True),
        Mount(volume, "/deep/ly/made", readonly=True),
        Mount(_directory(world, "below"), "/deep/ly"),
    ]
    code, text = await world.sh(
        await world.sandbox(), "cat /etc/resolv.conf /deep/ly/made/file; touch /deep/ly/made/x", mounts=mounts
    )
    assert (code, "contentcontent" in text, "Read-only file system" in text) == (1, True, True), text


async def test_a_mount_through_an_images_link_stays_inside(world: World, tmp_path: Path) -> None:
    image = small_image(_directory(world, "image"), "cat", "ls")
    image.chmod(0o755)
    (image / "var").mkdir()
    (image / "run").mkdir()
    (image / "var" / "run").symlink_to("/run")
    (image / "out").symlink_to(f"{world.folder}/../../../../../../..{world.folder}/target")
    world.launcher.give(image)
    volume = _directory(world, "volume")
    (volume / "token").write_text("secret")
    mounts = [Mount(volume, "/var/run/secrets"), Mount(volume, "/out/side")]
    code, text = await world.sh(await world.sandbox(), "cat /run/secrets/token", RootFS((image,)), mounts=mounts[:1])
    assert (code, text) == (0, "secret")
    await world.sh(await world.sandbox(), "ls /", RootFS((image,)), mounts=mounts[:1])
    with pytest.raises(RuntimeFailure):
        await world.start(await world.sandbox(), ["ls"], RootFS((image,)), mounts=mounts)
    assert not (world.folder / "target").exists()


async def test_what_cannot_be_mounted_says_which_and_why(world: World) -> None:
    sandbox = await world.sandbox()
    with pytest.raises(RuntimeFailure, match=r"open_tree\(/no/such/source\): No such file or directory"):
        await world.start(sandbox, ["true"], mounts=[Mount(Path("/no/such/source"), "/x")])
    with pytest.raises(RuntimeFailure, match="Bidirectional"):
        await world.start(sandbox, ["true"], mounts=[Mount(Path("/tmp"), "/x", propagation="Bidirectional")])
    with pytest.raises(RuntimeFailure, match="unknown capability 'FLY'"):
        await world.start(sandbox, ["true"], add_capabilities=["FLY"])
    with pytest.raises(RuntimeFailure, match="/no/such/layer"):
        await world.start(sandbox, ["true"], RootFS((Path("/no/such/layer"),)))


async def test_a_memory_volume_is_shared_by_the_pods_containers(world: World) -> None:
    volume = _directory(world, "memory")
    sandbox = await world.sandbox(memory_volumes={volume: 1 << 20})
    mounts = [Mount(volume, "/cache")]
    assert await world.sh(sandbox, "echo 1 > /cache/x; stat -f -c %T /cache", mounts=mounts) == (0, "tmpfs\n")
    code, text = await world.sh(sandbox, "cat /cache/x; head -c 2000000 /dev/zero > /cache/big", mounts=mounts)
    assert (code, "No space left on device" in text, text[:2]) == (1, True, "1\n")
    assert list(volume.iterdir()) == []


async def test_a_megabyte_of_environment_arrives(world: World) -> None:
    env = {f"V{number}": "x" * 100_000 for number in range(10)}
    code, text = await world.sh(await world.sandbox(), 'printf %s "$V0$V9" | wc -c', env=env)
    assert (code, text.strip()) == (0, "200000")


async def test_containers_have_pid_1_or_share(world: World) -> None:
    show = "echo $$; cat /proc/1/comm"
    assert (await world.sh(await world.sandbox(), show))[1].split() == ["1", "sh"]
    shared = await world.sandbox(share_process_namespace=True)
    other = await world.start(shared, ["sleep", "1000"])
    code, text = await world.sh(shared, "cat /proc/1/comm; cat /proc/[0-9]*/comm; sleep 500 & exit 3")
    assert code == 3
    assert text.startswith("wherry-pod\n")
    assert "sleep" in text
    async with asyncio.timeout(PATIENCE_SECONDS):  # the container's end kills it: it may take a moment to be gone
        while True:
            command = ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]
            result = await world.runtime.exec_sync(other, command, PATIENCE_SECONDS)
            assert b"sleep 1000" in result.stdout
            if b"sleep 500" not in result.stdout:
                break


async def test_an_unprivileged_port_needs_no_privilege(world: World) -> None:
    bind = "import socket; socket.create_server(('', 80)); print('bound')"
    code, text = await world.run(
        await world.sandbox(), ["/usr/bin/python3", "-c", bind], uid=1000, gid=1000, drop_capabilities=["ALL"]
    )
    assert (code, text) == (0, "bound\n")


def _directory(world: World, name: str) -> Path:
    """A directory that the launcher's user and every user of its pods can use."""
    path = world.folder / name
    for made in (world.folder, path):
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(0o777)
    world.launcher.give(world.folder)
    return path
