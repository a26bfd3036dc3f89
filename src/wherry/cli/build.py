"""`wherry build`: one Dockerfile, or all the artifacts of a skaffold.yaml."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import click

from wherry.aio.clock import RealClock
from wherry.builder.build import Build, BuildFailure
from wherry.cli.building import build_all
from wherry.cli.progress import Progress
from wherry.cli.session import USAGE, Failed, fail, system_options
from wherry.cli.sources import folder, skaffold
from wherry.cli.sources.bundle import SourceError
from wherry.cli.sources.pinning import pinned
from wherry.cluster.building import builder
from wherry.cluster.paths import State
from wherry.images.reference import InvalidReference, Reference


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("context", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-f", "--file", type=click.Path(path_type=Path), help="[default: CONTEXT/Dockerfile]")
@click.option("-t", "--tag", "tags", multiple=True, help="NAME[:TAG]; may be repeated. [default: the folder's name]")
@click.option("--target", default="", help="Stop at this stage.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME[=VALUE]", help="May be repeated.")
@click.option("-p", "--profile", "profiles", multiple=True, help="A profile of skaffold.yaml; may be repeated.")
@click.option("-q", "--quiet", is_flag=True, help="Print the names only.")
@system_options
def command(
    state: State,
    name: str,
    context: Path,
    file: Path | None,
    tags: tuple[str, ...],
    target: str,
    build_args: tuple[str, ...],
    profiles: tuple[str, ...],
    quiet: bool,
) -> None:
    """Build an image from CONTEXT, or with a skaffold.yaml there all of its artifacts, and print the names.

    A name without a tag gets the image's id as its tag: other content, another name.
    """
    manifest = next((context / each for each in folder.SKAFFOLD if (context / each).is_file()), None)
    single = file is not None or tags or target or build_args or manifest is None
    if single and profiles:
        fail("--profile belongs to a skaffold.yaml", USAGE)
    state.images.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Progress(RealClock().monotonic, terminal=sys.stdout.isatty() and not quiet, quiet=quiet) as progress:
        try:
            if single or manifest is None:
                request = _request(context, file, tags, target, build_args)
                names = asyncio.run(_build(state, request, tags or (request.name,), progress))
            else:
                bundle = skaffold.load(manifest, profiles)
                names = list(asyncio.run(build_all(state, bundle.artifacts, progress)).values())
        except SourceError as error:
            fail(str(error), USAGE)
    for each in names:
        click.echo(each)


def _request(
    context: Path, file: Path | None, tags: tuple[str, ...], target: str, build_args: tuple[str, ...]
) -> Build:
    for tag in tags:
        try:
            if Reference.parse(tag).digest:
                fail(f"--tag {tag}: a name of what is built cannot have a digest", USAGE)
        except InvalidReference as error:
            fail(f"--tag {error}", USAGE)
    name = tags[0] if tags else re.sub(r"[^a-z0-9]+", "-", context.resolve().name.lower()).strip("-")
    if not name:
        fail(f"no image name can be made of the folder {context.resolve()}: give one with --tag", USAGE)
    return Build(context, file or context / "Dockerfile", name, target, dict(map(_argument, build_args)))


def _argument(text: str) -> tuple[str, str]:
    """NAME=VALUE; NAME alone takes the value of our environment, as with docker build."""
    name, equals, value = text.partition("=")
    if not equals and name not in os.environ:
        fail(f"--build-arg {name}: give a value, or set ${name}", USAGE)
    return name, value if equals else os.environ[name]


async def _build(state: State, request: Build, tags: tuple[str, ...], progress: Progress) -> list[str]:
    row = f"image {request.name}"
    async with builder(state) as build:
        try:
            built = await build(request, lambda line: progress.update(row, line))
        except BuildFailure as error:
            progress.update(row, str(error).splitlines()[0], "failed")
            raise Failed(str(error)) from None
        names = [tag if Reference.parse(tag).tag else pinned(tag, built.image.id) for tag in tags]
        for name in names:
            await built.tag(name)
    progress.update(row, built.image.id, "unchanged" if built.cached else "done")
    return names
