"""`wherry image`: what is in the local store, and moving images in and out of it."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click

from wherry.cli.session import Failed, system_options
from wherry.cluster.building import layers_in_use
from wherry.cluster.paths import State
from wherry.images import archive
from wherry.images.collect import collect
from wherry.images.layers import LayerError
from wherry.images.reference import InvalidReference
from wherry.images.store import ImageStore, StoreError

SETTINGS = {"help_option_names": ["-h", "--help"]}
SHORT = 12  # characters of an id, as everywhere


@click.group(context_settings=SETTINGS)
def command() -> None:
    """List, load, save and remove images of the local store."""


def _on_store(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hands over the store too; what it says of an image becomes our failure."""

    @system_options
    @functools.wraps(function)
    def wrapped(state: State, name: str, **arguments: Any) -> Any:
        try:
            return function(state=state, store=ImageStore(state.images), **arguments)
        except (archive.ArchiveError, InvalidReference, StoreError, LayerError) as error:
            raise Failed(str(error)) from None
        except OSError as error:
            raise Failed(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None

    return wrapped


@command.command("ls", context_settings=SETTINGS)
@click.option("-q", "--quiet", is_flag=True, help="Print the names only.")
@_on_store
def ls(state: State, store: ImageStore, quiet: bool) -> None:
    """List images by name."""
    if quiet:
        for name in sorted(store.names()):
            click.echo(name)
        return
    rows = [("NAME", "IMAGE ID", "SIZE")]
    for name, digest in sorted(store.names().items()):
        try:
            image = store.image_of(digest)
        except (StoreError, LayerError) as error:
            rows.append((name, "damaged", str(error)))
            continue
        rows.append((name, image.id.removeprefix("sha256:")[:SHORT], megabytes(image.size)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        click.echo(f"{row[0]:<{widths[0]}}   {row[1]:<{widths[1]}}   {row[2]}")


def megabytes(size: int) -> str:
    """Of 1000 x 1000 bytes, as image sizes are given everywhere."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


@command.command("load", context_settings=SETTINGS)
@click.argument("path", type=click.Path(path_type=Path, exists=True, allow_dash=True))
@click.option("-t", "--tag", default="", metavar="NAME:TAG", help="Its name, instead of what the archive says.")
@_on_store
def load(state: State, store: ImageStore, path: Path, tag: str) -> None:
    """Load the images of PATH: a tar of `docker save` or an OCI layout (tar or folder), plain or compressed; - is stdin."""
    source: Path | BinaryIO = sys.stdin.buffer if str(path) == "-" else path
    for name, digest in archive.load(store, source, tag):
        if not name:
            raise Failed(f"image {digest[: 7 + SHORT]} has no name in the archive: give one with --tag NAME:TAG")
        click.echo(name)


@command.command("save", context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, allow_dash=True), help="- is stdout.")
@_on_store
def save(state: State, store: ImageStore, names: tuple[str, ...], output: Path) -> None:
    """Save images as a tar that `docker load`, podman, skopeo and ctr read; into an empty folder as an OCI layout."""
    if str(output) == "-":
        if sys.stdout.isatty():
            raise Failed("an image on a terminal helps nobody: name a file with --output, or pipe it")
        archive.save(store, names, sys.stdout.buffer)
    elif output.is_dir():
        archive.save_layout(store, names, output)
    else:
        draft = output.with_name(f".{output.name}.part")
        try:
            with draft.open("wb") as file:
                archive.save(store, names, file)
            draft.replace(output)
        finally:
            draft.unlink(missing_ok=True)


@command.command("rm", context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True)
@_on_store
def rm(state: State, store: ImageStore, names: tuple[str, ...]) -> None:
    """Remove images by name or id, and free what no other image, container or build step needs."""
    removed: set[str] = set()
    for name in names:
        digest = store.find(name)
        if digest is None:
            raise Failed(f"no image {name!r} here; `wherry image ls` shows what there is")
        removed |= {diff_id for _, diff_id in store.layers_of(store.manifest(digest))}
        for each in (
            [name] if name in store.names() else [key for key, value in store.names().items() if value == digest]
        ):
            store.untag(each)
            click.echo(f"removed {each}")
    try:
        freed = collect(store, removed, asyncio.run(layers_in_use(state)))
    except BlockingIOError:
        click.echo("a build or a pull is on its way: what is no longer needed stays until the next `wherry image rm`")
        return
    click.echo(f"freed {megabytes(freed.size)}: {freed.layers} layers")
