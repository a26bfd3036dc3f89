"""Dockerfiles carried out, RUN by pretended programs: configurations, the cache, stages, arguments, failures."""

from __future__ import annotations

import json
import os
import random
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wherry.aio.clock import RealClock
from wherry.builder.build import Build, Builder, BuildFailure, Built
from wherry.cri.fake import FakeRuntime, Process
from wherry.images.rootfs import Image
from wherry.images.store import ImageStore

BASE = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


class Shop:
    """A context, a store and a runtime whose only program is a shell that knows `say`, `fail` and `vars`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "context"
        self.folder.mkdir()
        self.store = ImageStore(folder / "images")
        self.ran: list[Process] = []
        self.runtime = FakeRuntime(RealClock(), random.Random(1), {"/bin/sh": self._shell, "/run": self._shell})
        self.lines: list[str] = []
        self.environment: dict[str, str] = {}

    async def _shell(self, process: Process) -> int:
        self.ran.append(process)
        words = process.argv[-1].split()
        if words[0] == "fail":
            for number in range(40):
                process.write("stderr", f"line {number}\n".encode())
            return int(words[1])
        return 0

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def build(self, dockerfile: str, target: str = "", **arguments: str) -> Built:
        (self.folder / "Dockerfile").write_text(textwrap.dedent(dockerfile))
        (self.folder / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
        builder = Builder(self.store, self._runtime, random.Random(1), self.environment)
        request = Build(self.folder, self.folder / "Dockerfile", "x", target, arguments)
        return await builder(request, self.lines.append)

    async def _runtime(self) -> FakeRuntime:
        return self.runtime

    async def config(self, dockerfile: str, **arguments: str) -> Mapping[str, Any]:
        return (await self.build(dockerfile, **arguments)).image.config

    async def refused(self, dockerfile: str, **arguments: str) -> str:
        with pytest.raises(BuildFailure) as caught:
            await self.build(dockerfile, **arguments)
        assert not os.path.exists(self.store.root / "tmp") or not os.listdir(self.store.root / "tmp")
        assert not await self.runtime.list_pod_sandboxes()
        return str(caught.value).removeprefix(str(self.folder))


def files(image: Image) -> dict[str, str]:
    """Path -> content, the topmost layer's."""
    found: dict[str, str] = {}
    for layer in reversed(image.rootfs.layers):
        found.update({str(path.relative_to(layer)): path.read_text() for path in layer.rglob("*") if path.is_file()})
    return found


@pytest.fixture
def shop(tmp_path) -> Shop:
    return Shop(tmp_path)


async def test_the_configuration(shop):
    found = await shop.config("""
        FROM scratch
        ENV A=1 B="x y"
        ENV C old form
        LABEL one=1 two="2 $A"
        USER app:web
        EXPOSE 80 53/udp 8000-8002
        VOLUME /data "/more data"
        STOPSIGNAL SIGINT
        ENTRYPOINT ["/server", "--port"]
        CMD 80
        HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost
    """)
    assert found == {
        "Env": [*BASE, "A=1", "B=x y", "C=old form"],
        "Labels": {"one": "1", "two": "2 1"},
        "User": "app:web",
        "ExposedPorts": {f"{port}/tcp": {} for port in (80, 8000, 8001, 8002)} | {"53/udp": {}},
        "Volumes": {"/data": {}, "/more data": {}},
        "StopSignal": "SIGINT",
        "Entrypoint": ["/server", "--port"],
        "Cmd": ["/bin/sh", "-c", "80"],
        "Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"], "Interval": 90 * 10**9, "Retries": 3},
    }


async def test_commands_of_the_base(shop):
    await (await shop.build('FROM scratch\nENTRYPOINT ["a"]\nCMD ["b"]')).tag("base:v1")
    assert (await shop.config('FROM base:v1\nCMD ["c"]')) == {"Env": [*BASE], "Entrypoint": ["a"], "Cmd": ["c"]}
    assert (await shop.config('FROM base:v1\nENTRYPOINT ["d"]')) == {"Env": [*BASE], "Entrypoint": ["d"]}
    own = await shop.config('FROM base:v1\nCMD ["c"]\nENTRYPOINT ["d"]')
    assert own == {"Env": [*BASE], "Entrypoint": ["d"], "Cmd": ["c"]}
    shell = await shop.config('FROM base:v1\nSHELL ["/bin/bash", "-ec"]\nCMD run it')
    assert shell["Cmd"] == ["/bin/bash", "-ec", "run it"]


async def test_scope_of_arguments(shop):
    dockerfile = """
        ARG BASE=scratch
        ARG GLOBAL=global
        FROM ${BASE} AS one
        ARG GLOBAL
        ARG DEFAULT=default OTHER
        ENV SEEN="$GLOBAL $DEFAULT $OTHER$NEVER"
        ENV DEFAULT=environment
        ARG DEFAULT=again
        ENV WINS=$DEFAULT
        FROM one
        ENV GONE="$GLOBAL$OTHER-" KEPT=$DEFAULT
        ARG TARGETARCH
        LABEL os=${TARGETOS:-unset}
    """

    async def env(**arguments: str) -> list[str]:
        return (await shop.config(dockerfile, **arguments))["Env"][1:]  # type: ignore[no-any-return]

    assert await env() == [
        "SEEN=global default ",
        "DEFAULT=environment",
        "WINS=environment",
        "GONE=-",
        "KEPT=environment",
    ]
    assert (await env(GLOBAL="g", OTHER="o"))[0] == "SEEN=g default o"
    assert (await shop.config(dockerfile))["Labels"] == {"os": "unset"}


async def test_an_argument_nobody_uses_is_a_warning(shop):
    await shop.build("FROM scratch", UNUSED="1", TARGETARCH="x")
    assert shop.lines[0] == "warning: build argument UNUSED is used by no ARG"
    assert not any("TARGETARCH" in line for line in shop.lines)


async def test_workdir_and_copy(shop):
    shop.write(main="m", lib__a="a", lib__b="b")
    built = await shop.build("""
        FROM scratch
        WORKDIR /srv
        WORKDIR "my app"
        COPY main .
        COPY lib lib/
        WORKDIR ../other
        COPY ["main", "with space"]
        COPY <<EOF <<'RAW' ./
        port=$PORT don't
        EOF
        $RAW
        RAW
    """)
    assert files(built.image) == {
        "srv/my app/main": "m",
        "srv/my app/lib/a": "a",
        "srv/my app/lib/b": "b",
        "srv/other/with space": "m",
        "srv/other/EOF": "port= don't\n",
        "srv/other/RAW": "$RAW\n",
    }
    assert built.image.config["WorkingDir"] == "/srv/other"


async def test_stages_are_built_when_they_are_needed(shop):
    shop.write(source="s")
    dockerfile = """
        FROM scratch AS base
        RUN base
        FROM scratch AS unused
        RUN fail 1
        FROM base AS build
        COPY source /out/result
        RUN build
        FROM scratch
        COPY --from=build /out/ /app/
        COPY --from=0 . /base/
        COPY --from=build --chmod=700 /out/result /single
    """
    built = await shop.build(dockerfile)
    assert files(built.image) == {"app/result": "s", "single": "s"}
    assert [process.argv[-1] for process in shop.ran] == ["base", "build"]
    await shop.build(dockerfile, target="BASE")
    assert len(shop.ran) == 2
    assert "no stage 'x'; there are: base, unused, build" in await shop.refused(dockerfile, target="x")


async def test_copies_from_an_image(shop):
    shop.write(a="1")
    await (await shop.build("FROM scratch\nCOPY a /opt/a")).tag("tools:v1")
    built = await shop.build("FROM scratch\nCOPY --from=tools:v1 /opt/a /b")
    assert files(built.image) == {"b": "1"}


DOCKERFILE = """
    FROM scratch
    ARG VERSION=1
    COPY requirements /app/
    RUN install
    COPY code /app/code
    RUN compile $VERSION
    LABEL built=yes
"""


async def test_nothing_changed_is_nothing_done(shop):
    shop.write(requirements="r", code__main="m")
    first = await shop.build(DOCKERFILE)
    assert not first.cached
    again = await shop.build(DOCKERFILE)
    assert again.cached
    assert again.image.id == first.image.id
    assert len(shop.ran) == 2


@pytest.mark.parametrize(
    ("change", "commands"),
    [
        (lambda shop: shop.write(code__main="changed"), ["compile $VERSION"]),
        (lambda shop: shop.write(requirements="changed"), ["install", "compile $VERSION"]),
        (lambda shop: shop.write(unrelated="new"), []),
        (lambda shop: os.utime(shop.folder / "code/main", (1, 1)), []),
        (lambda shop: (shop.folder / "code/main").chmod(0o755), ["compile $VERSION"]),
    ],
)
async def test_what_changed_is_done_again_and_no_more(shop, change, commands):
    shop.write(requirements="r", code__main="m")
    await shop.build(DOCKERFILE)
    shop.ran.clear()
    change(shop)
    await shop.build(DOCKERFILE)
    assert [process.argv[-1] for process in shop.ran] == commands


async def test_a_run_is_done_again_for_what_it_sees(shop):
    shop.write(requirements="r", code__main="m")
    base = "FROM scratch\nARG A=1\nENV E=1\nLABEL l=1\nEXPOSE 1\nUSER 1\nWORKDIR /w\nRUN x\n"
    await shop.build(base)
    for old, new, again in (
        ("LABEL l=1", "LABEL l=2", False),
        ("EXPOSE 1", "EXPOSE 2", False),
        ("ARG A=1", "ARG A=2", True),
        ("ENV E=1", "ENV E=2", True),
        ("USER 1", "USER 2", True),
        ("WORKDIR /w", "WORKDIR /v", True),
        ("RUN x", "RUN y", True),
    ):
        shop.ran.clear()
        await shop.build(base.replace(old, new))
        assert bool(shop.ran) == again, new


async def test_a_copy_from_a_stage_is_done_again_when_the_stage_differs(shop):
    shop.write(a="1", b="1")
    dockerfile = "FROM scratch AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one /a /a\nCOPY b /b\n"
    assert files((await shop.build(dockerfile)).image)["a"] == "1"
    shop.write(a="2")
    assert files((await shop.build(dockerfile)).image)["a"] == "2"


async def test_the_machines_settings_reach_a_run_but_not_its_key_nor_the_image(shop):
    shop.environment = {"HTTP_PROXY": "http://p", "no_proxy": "x", "PIP_INDEX_URL": "i", "SECRET": "s"}
    built = await shop.build("FROM scratch\nRUN x\n")
    assert {name for name in shop.ran[0].env if name not in ("PATH", "HOME", "HOSTNAME")} == {"HTTP_PROXY", "no_proxy"}
    assert list(built.image.config["Env"]) == [*BASE]
    shop.environment = {}
    assert (await shop.build("FROM scratch\nRUN x\n")).cached
    shop.environment = {"PIP_INDEX_URL": "i", "SECRET": "s"}
    await shop.build("FROM wherry.dev/host:v1\nRUN x\n")
    assert shop.ran[1].env["PIP_INDEX_URL"] == "i"
    assert os.path.isabs(shop.ran[1].env["WHERRY_PYTHON"])
    assert "SECRET" not in shop.ran[1].env
    await shop.build("FROM wherry.dev/host:v1\nARG WHERRY_PYTHON=python3\nRUN y\n")
    assert shop.ran[2].env["WHERRY_PYTHON"] == shop.ran[1].env["WHERRY_PYTHON"]


async def test_forms_of_run(shop):
    await shop.build("""
        FROM scratch
        ENV X=1
        RUN ["/run", "$X"]
        RUN <<EOF
        set -e
        echo $X
        EOF
        RUN cat <<A && cat <<B
        one
        A
        two
        B
        SHELL ["/run", "-c"]
        RUN shell form
    """)
    assert [list(process.argv) for process in shop.ran] == [
        ["/run", "$X"],
        ["/bin/sh", "-c", "set -e\necho $X\n"],
        ["/bin/sh", "-c", "cat <<A && cat <<B\none\nA\ntwo\nB"],
        ["/run", "-c", "shell form"],
    ]


async def test_a_failed_run_shows_line_command_code_and_its_last_words(shop):
    text = await shop.refused("FROM scratch\nENV A=1\nRUN fail 7\nRUN never\n")
    assert text.startswith(
        "/Dockerfile:3: RUN fail 7\n  the command failed with exit code 7; it wrote last:\n    line 20\n    line 21\n"
    )
    assert text.endswith("line 39")
    assert len(shop.ran) == 1
    assert shop.store.names() == {}


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM scratch\nRUN [\"/nothing\"]", '/Dockerfile:2: RUN ["/nothing"]\n  exec: "/nothing"'),
        ("FROM scratch\nCOPY nothing /", "'nothing' is not in the build context"),
        ("FROM scratch\nCOPY ../x /", "outside the build context"),
        ("FROM scratch\nCOPY a", "COPY requires at least two arguments"),
        ("FROM scratch\nCOPY --from=later a b\nFROM scratch AS later", None),
        ("FROM scratch AS me\nCOPY --from=me a b", "--from=me: only stages before this one"),
        ("FROM scratch AS one\nFROM scratch\nCOPY --from=one /a /b", "/a is not in one"),
        ("FROM scratch\nADD https://x.test/y /", "fetch it in a RUN step"),
        ("FROM scratch\nADD git@x.test:y.git /", "or put it into the context before"),
        ("FROM scratch\nADD --unpack=maybe a /", "--unpack=maybe: must be true or false"),
        ("FROM scratch\nADD x.tar.gz /", "'x.tar.gz' is not in the build context"),
        ("FROM scratch\nCOPY --chown=app a /", "--chown=app: no user app in /etc/passwd of the image"),
        ("FROM scratch\nUSER app\nRUN x", "unable to find user app"),
        ("FROM scratch\nEXPOSE web", "'web' is not a port"),
        ("FROM scratch\nEXPOSE 99999", "is not a port"),
        ("FROM scratch\nENV A", "must be NAME=VALUE"),
        ("FROM scratch\nENV A=${B", "is not closed"),
        ("FROM scratch\nUSER $NOBODY", "USER is empty once its variables are replaced"),
        ("FROM scratch\nSHELL bash", "SHELL requires the JSON form"),
        ("FROM scratch\nHEALTHCHECK x", "followed by NONE or by CMD"),
        ("FROM scratch\nHEALTHCHECK --interval=soon CMD x", "'soon' is not a duration"),
        ("FROM scratch\nRUN --network=none x", "--network=none is not supported"),
        ("FROM scratch\nRUN --security=insecure x", "always confined"),
        ("FROM scratch\nRUN --mount=type=cache x", "target is missing"),
        ("FROM scratch\nRUN --mount=type=secret,target=/x y", "only type=cache and type=bind"),
        ("FROM scratch\nRUN <<E\n#!/usr/bin/perl\nE", "write RUN python3 <<E"),
        ("ARG B\nFROM $B", "the base image's name is empty"),
        ("FROM Bad:v1", "is not a repository name"),
        ("FROM --platform=linux/mips scratch", "images are built for this machine"),
        ("FROM nowhere:v1", "its name has no registry host"),
        ("FROM nowhere", "its name has no tag"),
        ("ARG A=${\nFROM scratch", "is not closed"),
        ("FROM scratch\nARG A='", "is not closed"),
    ],
)  # fmt: skip
async def test_failures_name_file_line_and_reason(shop, monkeypatch, tmp_path, dockerfile, message):
    monkeypatch.delenv("WHERRY_DEFAULT_REGISTRY", raising=False)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none"))
    shop.write(a="1")
    if message is None:  # a later stage is not the last one's business
        await shop.build(dockerfile)
        return
    text = await shop.refused(dockerfile)
    assert text.startswith("/Dockerfile:")
    assert message in text


async def test_a_platform_that_is_this_machines(shop):
    await shop.build("FROM --platform=$TARGETPLATFORM scratch")


async def test_bytes_that_are_no_text(shop):
    (shop.folder / "Dockerfile").write_bytes(b"FROM \xff\xfe")
    builder = Builder(shop.store, shop._runtime, random.Random(1), {})
    with pytest.raises(BuildFailure, match="is not UTF-8 text"):
        await builder(Build(shop.folder, shop.folder / "Dockerfile", "x"), shop.lines.append)
    with pytest.raises(BuildFailure, match="No such file"):
        await builder(Build(shop.folder, shop.folder / "Other", "x"), shop.lines.append)


async def test_triggers_of_a_base_are_refused(shop):
    config = {"rootfs": {"diff_ids": []}, "config": {"OnBuild": ["RUN x"]}}
    shop.store.tag("base:v1", shop.store.add(config, []))
    assert "base:v1 has ONBUILD triggers" in await shop.refused("FROM base:v1")


async def test_files_that_change_while_they_are_copied_are_not_cached(shop, monkeypatch):
    shop.write(a="1")
    from wherry.builder import file_steps

    real = file_steps.Layout.copy

    def slow(self: Any, *arguments: Any, **named: Any) -> None:
        real(self, *arguments, **named)
        shop.write(a="changed")

    monkeypatch.setattr(file_steps.Layout, "copy", slow)
    assert "changed while they were copied" in await shop.refused("FROM scratch\nCOPY a /a")
    monkeypatch.undo()
    assert files((await shop.build("FROM scratch\nCOPY a /a")).image) == {"a": "changed"}


async def test_a_cache_mount_is_one_folder_for_all_builds_and_a_bind_shows_the_context(shop):
    shop.write(a="1")
    dockerfile = "FROM scratch\nWORKDIR /w\nRUN --mount=type=cache,target=/c --mount=source=a,target=a x"
    mounts = []
    real = shop.runtime.create_container

    async def create(sandbox: str, config: Any) -> str:
        mounts.append({mount.target: (mount.source, mount.readonly) for mount in config.mounts})
        return await real(sandbox, config)

    shop.runtime.create_container = create  # type: ignore[method-assign]
    await shop.build(dockerfile)
    assert mounts[0]["/c"] == (shop.store.root / "cache" / "_c", False)
    assert mounts[0]["/w/a"] == (shop.folder / "a", True)
    assert (await shop.build(dockerfile)).cached
    shop.write(a="2")
    assert not (await shop.build(dockerfile)).cached


async def test_the_image_is_of_the_oci_form(shop):
    shop.write(a="1")
    built = await shop.build("FROM wherry.dev/host:v1\nCOPY a /a\nRUN x\nCMD y")
    manifest = shop.store.manifest(built.image.digest)
    config = json.loads(shop.store.read(manifest["config"]["digest"]))
    assert config["os"] == "linux"
    assert [entry.get("empty_layer", False) for entry in config["history"]] == [False, False, True]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    assert built.image.rootfs.host
    assert built.image.config["Labels"] == {"wherry.dev/base": "host"}
