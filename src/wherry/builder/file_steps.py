"""WORKDIR, COPY and ADD: steps that put files into a layer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath

from wherry.builder import copying, settings, users
from wherry.builder.copying import Layout, Ownership, Source
from wherry.builder.dockerfile import Instruction
from wherry.builder.site import Site
from wherry.builder.stage import StageState
from wherry.builder.steps import key_of
from wherry.builder.variables import document, word
from wherry.builder.view import View

Origins = Callable[[str], Awaitable[StageState]]
"""The state behind the value of `--from`: a stage before this one, or an image."""
_TRUTH = {"": True, "true": True, "1": True, "false": False, "0": False}
"""Values of a flag that is true when it only stands there."""


async def workdir(site: Site, state: StageState, instruction: Instruction) -> StageState:
    """The directory is made when the image has none there, and belongs to the stage's user."""
    path = state.absolute(settings.single(state, instruction))
    state = state.with_config(instruction.source, WorkingDir=path)
    view = state.view(site.store)
    if view.is_directory(PurePosixPath(path)):
        return state
    user = users.user(view, state.user)
    key = key_of("workdir", state.files, path, user.uid, user.gid)
    layout_owner = Ownership(user.uid, user.gid)
    layer = await site.layer(key, lambda tree: _make_directory(tree, view, path, layout_owner))
    return state.with_layer(layer, instruction.source)


def _make_directory(tree: Path, view: View, path: str, owner: Ownership) -> None:
    Layout(tree, view, owner).make(PurePosixPath(path))


async def copy(site: Site, state: StageState, instruction: Instruction, origins: Origins) -> StageState:
    """COPY and ADD. Raises ContextError, VariableError, LayerError, ValueError or OSError with what is wrong."""
    patterns, destination = _arguments(state, instruction)
    variables = state.variables
    view = state.view(site.store)
    owner = users.ownership(
        view,
        word(instruction.flag("chown"), variables, instruction.escape),
        word(instruction.flag("chmod"), variables, instruction.escape),
    )
    documents = [
        (each.name, document(each.content, variables, instruction.escape) if each.expand else each.content)
        for each in instruction.heredocs
    ]
    other = word(instruction.flag("from"), variables, instruction.escape)
    names: list[str] = []
    if other:
        origin = await origins(other)
        seen: object = [origin.files, patterns]
        sources = _from_origin(site, origin, patterns, other)
    else:
        names = [name for pattern in patterns for name in site.context.sources(pattern)]
        seen = await asyncio.to_thread(site.context.digest, names)
        sources = copying.from_context(site.context, names)
    unpack = instruction.name == "ADD" and _is_true(instruction, "unpack")
    placing = [destination, state.workdir, owner.uid, owner.gid, owner.mode, *([owner.chosen] if unpack else [])]
    key = key_of("add" if unpack else "copy", state.files, placing, names, seen, documents)

    def fill(tree: Path) -> None:
        with site.store.temporary() as folder:
            written = [_written(folder, name, content) for name, content in documents]
            Layout(tree, view, owner).copy([*sources, *written], destination, state.workdir, unpack=unpack)
        if names and site.context.digest(names) != seen:
            raise ValueError("files of the build context changed while they were copied: build again")

    return state.with_layer(await site.layer(key, fill), instruction.source)


def _arguments(state: StageState, instruction: Instruction) -> tuple[list[str], str]:
    """Sources (without here-documents) and the destination. Raises ValueError."""
    given = settings.expanded_words(state, instruction)
    patterns = [
        each for each in given[:-1] if not (instruction.heredocs and each.lstrip("0123456789").startswith("<<"))
    ]
    if len(given) < 2:
        raise ValueError(f"{instruction.name} requires at least two arguments: sources and a destination")
    for pattern in patterns:
        if "://" in pattern or pattern.startswith("git@"):
            raise ValueError(
                f"{pattern}: {instruction.name} takes files of the build context only: fetch it in a RUN step, where its digest"
                " can be checked, or put it into the context before"
            )
    return patterns, given[-1]


def _is_true(instruction: Instruction, flag: str) -> bool:
    value = instruction.flag(flag)
    if value not in _TRUTH:
        raise ValueError(f"--{flag}={value}: must be true or false")
    return _TRUTH[value]


def _from_origin(site: Site, origin: StageState, patterns: list[str], name: str) -> list[Source]:
    try:
        return copying.from_view(origin.view(site.store), patterns)
    except FileNotFoundError as error:
        raise ValueError(f"{error} is not in {name}") from None


def _written(folder: Path, name: str, content: str) -> Source:
    file = folder / name
    file.write_text(content)
    file.chmod(0o644)
    return Source(name, file)
