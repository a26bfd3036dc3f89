"""Images built by real RUN steps and started as pods, as root and as an ordinary user."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtime_world import World, small_image, tiers, world

from wherry.images import archive
from wherry.images.rootfs import RootFS
from wherry.images.store import ImageStore
from wherry.testing.launcher_process import LauncherProcess, ordinary_user

__all__ = ["world"]

_numbers = itertools.count()


@pytest.fixture(scope="module", params=[*tiers(), ("proc", ordinary_user())], ids=lambda param: param[0])
def launcher(request: pytest.FixtureRequest) -> Iterator[LauncherProcess]:
    tier, user = request.param
    launcher = LauncherProcess(tier, user=user)
    yield launcher
    launcher.close()


class Shop:
    """A builder of the launcher's user, and a build context for each test."""

    def __init__(self, launcher: LauncherProcess) -> None:
        self.launcher = launcher
        self.images = launcher.state / "images"
        self.start()

    def start(self) -> None:
        ordinary = [self.launcher.user] if self.launcher.user else []
        script = Path(__file__).with_name("build_as.py")
        self.process = subprocess.Popen(
            [sys.executable, script, self.launcher.state, self.launcher.socket, *ordinary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def context(self, **files: str) -> Path:
        folder = self.launcher.state / f"context-{next(_numbers)}"
        folder.mkdir()
        self.write(folder, **files)
        return folder

    def write(self, folder: Path, **files: str) -> None:
        for name, text in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip())

    def begin(self, folder: Path, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"context": str(folder), **order}) + "\n")
        self.process.stdin.flush()

    def message(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def build(self, folder: Path, **order: Any) -> dict[str, Any]:
        self.begin(folder, **order)
        while "result" not in (message := self.message()):
            continue
        result: dict[str, Any] = message["result"]
        return result

    def image(self, dockerfile: str, **files: str) -> dict[str, Any]:
        result = self.build(self.context(Dockerfile=dockerfile, **files))
        assert "failure" not in result, result["failure"]
        return result

    def left(self) -> list[str]:
        """What a build should not leave in the store."""
        return os.listdir(self.images / "tmp")


@pytest.fixture
def shop(launcher: LauncherProcess) -> Iterator[Shop]:
    shop = Shop(launcher)
    yield shop
    shop.close()


def rootfs(result: dict[str, Any]) -> RootFS:
    return RootFS(tuple(map(Path, result["layers"])), host=result["host"])


async def said(world: World, result: dict[str, Any], script: str) -> str:
    """What a pod of the image prints; its own user and directory."""
    config = result["config"]
    uid, _, gid = config.get("User", "0:0").partition(":")
    code, text = await world.sh(
        await world.sandbox(),
        script,
        rootfs(result),
        env=dict(entry.split("=", 1) for entry in config["Env"]),
        cwd=config.get("WorkingDir", "/"),
        uid=int(uid),
        gid=int(gid or 0),
    )
    assert code == 0, text
    return text.strip()


async def test_stages_commands_and_users(world: World, shop: Shop) -> None:
    result = shop.image(
        """
        ARG GREETING=hello
        FROM wherry.dev/host:v1 AS build
        ARG GREETING
        WORKDIR /src
        COPY . .
        RUN cat name > /out && echo "$GREETING" >> /out && echo secret > /src/secret
        FROM wherry.dev/host:v1
        ENV COLOUR=blue
        WORKDIR /app
        COPY --from=build --chown=10001:10001 /out result
        RUN echo "$COLOUR in $PWD as $(test $(id -u) = 0 || echo no) root" > note && mkdir -p /data && chmod 777 /data
        USER 10001:10001
        RUN touch /data/mine
        CMD ["sh"]
        """,
        name="Ann\n",
    )
    ordinary = shop.launcher.tier == "proc" and (shop.launcher.user or os.geteuid() != 0)
    root = "no root" if ordinary else " root"
    assert await said(world, result, "cat result note; ls /data; ls /src 2>&1 | wc -l") == (
        f"Ann\nhello\nblue in /app as {root}\nmine\n1"
    )
    if not (await world.runtime.status())["users"]:
        assert await said(world, result, "id -u; id -g; stat -c %u:%g result /data/mine note") == (
            "10001\n10001\n10001:10001\n10001:10001\n0:0"
        )
    assert not shop.left()


async def test_what_a_run_removes_is_gone(world: World, shop: Shop) -> None:
    result = shop.image("""
        FROM wherry.dev/host:v1
        RUN mkdir -p /opt/a/deep /opt/b && touch /opt/a/1 /opt/a/deep/2 /opt/b/3 && ln -s b /opt/link && ln /opt/b/3 /opt/b/same
        RUN rm -r /opt/a && mkdir /opt/a && touch /opt/a/new && rm /opt/b/3 && rm /etc/hostname /etc/issue
        RUN touch /opt/a/newer
    """)
    text = await said(world, result, "ls /opt/a; ls /opt/b /opt/link/; test -e /etc/issue || echo no issue")
    assert text == "new\nnewer\n/opt/b:\nsame\n\n/opt/link/:\nsame\nno issue"


async def test_a_build_sees_the_machine_but_not_its_private_places(world: World, shop: Shop) -> None:
    result = shop.image(f"""
        FROM wherry.dev/host:v1
        WORKDIR /home/app
        RUN echo made > made && ls -A /root /home {shop.launcher.state} 2>&1 | tee seen; python3 -c 'print(6 * 7)' >> made
        RUN echo shared > /dev/shm/of-a-run; cat /dev/shm/* >> made
    """)
    seen = await said(world, result, "cat made; ls /dev/shm; cat seen")
    assert seen.startswith("made\n42\nshared\n")
    assert "of-a-run" not in seen
    assert "images" not in seen
    assert "launcher.sock" not in seen


async def test_names_resolve_and_the_machines_network_is_there(shop: Shop) -> None:
    shop.image("""
        FROM wherry.dev/host:v1
        RUN grep -q localhost /etc/hosts && cat /etc/resolv.conf && test "$(ls /sys/class/net)" != lo
    """)


async def test_unchanged_steps_are_not_done_again(shop: Shop) -> None:
    dockerfile = """
        FROM wherry.dev/host:v1
        COPY requirements /app/
        RUN date +%N > /app/installed
        COPY code /app/
        RUN date +%N > /app/compiled
    """
    folder = shop.context(Dockerfile=dockerfile, requirements="r", code="1")
    first = shop.build(folder)
    assert not first["cached"]
    shop.write(folder, unrelated="new")
    again = shop.build(folder)
    assert again["cached"]
    assert again["id"] == first["id"]
    shop.write(folder, code="2")
    changed = shop.build(folder)
    assert not changed["cached"]
    assert changed["layers"][-2:] == first["layers"][-2:]
    assert changed["layers"][0] != first["layers"][0]


async def test_a_failed_run_leaves_nothing_behind(world: World, shop: Shop) -> None:
    folder = shop.context(
        Dockerfile="""
            FROM wherry.dev/host:v1
            RUN echo fine
            RUN mkdir /opt/x && chmod 0 /opt/x; seq 30; echo 'no luck' >&2; exit 9
        """
    )
    result = shop.build(folder, tag="failed:v1")
    lines = result["failure"].splitlines()
    assert lines[0].startswith(f"{folder}/Dockerfile:3: RUN mkdir /opt/x")
    assert lines[1] == "  the command failed with exit code 9; it wrote last:"
    assert lines[-1].strip() == "no luck"
    assert len(lines) == 22
    assert not shop.left()
    assert not await world.runtime.list_pod_sandboxes()
    assert "failed:v1" not in ImageStore(shop.images).names()


async def test_a_command_that_is_not_there(shop: Shop) -> None:
    result = shop.build(shop.context(Dockerfile='FROM wherry.dev/host:v1\nRUN ["/no/such", "program"]\n'))
    assert "Dockerfile:2" in result["failure"]
    assert "/no/such" in result["failure"]
    assert not shop.left()


async def test_a_builder_that_was_killed_is_cleaned_up_by_the_next(world: World, shop: Shop) -> None:
    folder = shop.context(Dockerfile="FROM wherry.dev/host:v1\nRUN echo begun; sleep 1000\n")
    shop.begin(folder)
    while shop.message().get("line") != "begun":
        continue
    shop.close()
    assert len(await world.runtime.list_pod_sandboxes()) == 1
    assert shop.left()
    shop.start()
    shop.image("FROM wherry.dev/host:v1\nRUN true\n")
    assert not await world.runtime.list_pod_sandboxes()
    assert not shop.left()


async def test_a_cache_mount_outlives_the_build_and_is_not_in_the_image(world: World, shop: Shop) -> None:
    run = "RUN --mount=type=cache,target=/var/cache/mine --mount=type=bind,source=tool,target=/tool"
    for number in (1, 2):
        result = shop.image(
            f"FROM wherry.dev/host:v1\n{run} echo {number} >> /var/cache/mine/log; cp /var/cache/mine/log /log; sh /tool\n",
            tool="echo used > /used\n",
        )
    assert await said(
        world, result, "cat /log /used; ls /var/cache/mine 2> /dev/null; test -s /tool || echo not here"
    ) == ("1\n2\nused\nnot here")


async def test_an_image_with_nothing_of_the_machine(world: World, shop: Shop, tmp_path: Path) -> None:
    folder = shop.context(Dockerfile="FROM scratch\nCOPY root /\n")
    small_image(folder / "root", "ls", "cat", "rm")
    assert "failure" not in shop.build(folder, tag="tiny:v1")
    result = shop.image("""
        FROM tiny:v1
        COPY --chmod=644 <<EOF /etc/motd
        welcome
        EOF
        RUN cat /etc/motd > /greeting; rm /bin/rm; ls /proc/self > /dev/null
        CMD ["cat", "/greeting"]
    """)
    assert not result["host"]
    assert await said(world, result, "cat /greeting; ls /bin") == "welcome\ncat\nls\nsh"
    if os.geteuid() == 0 and shop.launcher.tier != "ns-root":
        return  # the archive would be read as another user than the one it belongs to
    store, other = ImageStore(shop.images), ImageStore(tmp_path / "other")
    store.tag(
        "greeting:v1", next(digest for digest in [*_manifests(store)] if store.image_of(digest).id == result["id"])
    )
    buffer = io.BytesIO()
    archive.save(store, ["greeting:v1"], buffer)
    buffer.seek(0)
    archive.load(other, buffer)
    loaded = other.image("greeting:v1")
    assert loaded is not None
    assert loaded.id == result["id"]
    again = {**result, "layers": [str(layer) for layer in loaded.rootfs.layers]}
    assert await said(world, again, "cat /greeting; ls /bin") == "welcome\ncat\nls\nsh"


async def test_an_image_made_of_an_archive_of_a_root(world: World, shop: Shop, tmp_path: Path) -> None:
    """As Debian's own are, with links where it has them."""
    root = small_image(tmp_path / "root", "ls", "cat", "readlink")
    (root / "usr").mkdir(exist_ok=True)
    (root / "bin").rename(root / "usr/bin")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc").mkdir()
    (root / "etc/secret").write_text("nobody may read it, and it is somebody's")
    (root / "shut").mkdir()
    (root / "shut/file").write_text("shut\n")
    (root / "shut").chmod(0o555)
    (root / "usr/same").write_text("same\n")
    os.link(root / "usr/same", root / "usr/again")
    folder = shop.context(
        Dockerfile="""
            FROM scratch
            ADD rootfs.tar.xz /
            ADD tools.tar.gz notes /opt/
            ADD more.tar /
            CMD ["cat", "/opt/notes"]
        """,
        notes="noted\n",
    )
    with tarfile.open(folder / "rootfs.tar.xz", "w:xz", preset=0) as archive:
        archive.add(root, ".", filter=_shadowed)
    for name, entry, mode in (("tools.tar.gz", "tools/tool", "w:gz"), ("more.tar", "bin/more", "w")):
        with tarfile.open(folder / name, mode) as archive:
            archive.add(root / "usr/same", entry)
    result = shop.build(folder)
    assert "failure" not in result, result["failure"]
    assert not result["host"]
    text = await said(
        world, result, "cat /opt/notes /opt/tools/tool /shut/file /usr/again /usr/bin/more; ls / /bin/; readlink /bin"
    )
    assert text.startswith("noted\nsame\nshut\nsame\nsame\n")
    assert text.endswith("\nusr/bin")
    assert {"bin", "etc", "opt", "shut", "usr", "cat", "more"} <= set(text.split())
    assert shop.build(folder)["cached"]
    assert not shop.left()


def _shadowed(info: tarfile.TarInfo) -> tarfile.TarInfo:
    if info.name == "./etc/secret":
        info.mode, info.gid = 0, 42
    return info


def _manifests(store: ImageStore) -> Iterator[str]:
    for digest in store.blobs.all():
        data = store.read(digest)
        if data.startswith(b'{"config":{"digest"'):
            yield digest
