"""Build the images a source describes and put their content-addressed names into its objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from wherry.api.types import Obj
from wherry.builder.build import Build, BuildFailure
from wherry.cli.progress import Progress
from wherry.cli.session import Failed
from wherry.cli.sources.bundle import Artifact, SourceError, containers, in_build_order
from wherry.cluster.building import builder
from wherry.cluster.options import Options
from wherry.cluster.paths import State

ID_CHARACTERS = 12  # of the image id: what `git` and image listings show, enough for one machine


async def build_all(
    state: State, options: Options, artifacts: Sequence[Artifact], progress: Progress
) -> dict[str, str]:
    """Build in order; artifact image -> the name of what was built. Raises Failed with the step that failed."""
    built: dict[str, str] = {}
    if not artifacts:
        return built
    try:
        ordered = in_build_order(list(artifacts))
    except SourceError as error:
        raise Failed(str(error)) from None
    async with builder(state, options) as build:
        for artifact in ordered:
            row = f"image {artifact.image}"
            progress.update(row, "building")
            arguments = {**artifact.build_args, **{alias: built[image] for image, alias in artifact.requires}}
            request = Build(
                artifact.context, artifact.dockerfile, artifact.image, target=artifact.target, arguments=arguments
            )
            try:
                result = await build(request, lambda line, row=row: progress.update(row, line))
            except BuildFailure as error:
                progress.update(row, str(error).splitlines()[0], "failed")
                raise Failed(f"image {artifact.image}: {error}") from None
            built[artifact.image] = pinned(artifact.image, result.image.id)
            await result.tag(built[artifact.image])
            progress.update(row, built[artifact.image], "unchanged" if result.cached else "done")
    return built


def pinned(image: str, id_: str) -> str:
    """`cart:v1` and an image id -> `cart:v1-3fa9c2d1b0e4`: another content is another name, so a rollout follows."""
    short = id_.removeprefix("sha256:")[:ID_CHARACTERS]
    name, separator, tag = image.rpartition(":")
    if separator and "/" not in tag:
        return f"{name}:{tag}-{short}"
    return f"{image}:{short}"


def with_built(objects: Sequence[Obj], built: Mapping[str, str]) -> list[Obj]:
    """Copies of `objects` whose containers name what was built. A manifest may write the image with or without a tag."""
    changed: list[Obj] = []
    for obj in objects:
        draft = copy.deepcopy(obj)
        for container in containers(draft):
            image = str(container.get("image", ""))
            name, _, tag = image.rpartition(":")
            bare = name if name and "/" not in tag else image
            container["image"] = built.get(image) or built.get(bare) or image
        changed.append(draft)
    return changed
