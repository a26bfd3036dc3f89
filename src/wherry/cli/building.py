"""Build the images a source describes, each after those it requires."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from wherry.builder.build import Build, BuildFailure
from wherry.cli.progress import Progress
from wherry.cli.session import Failed
from wherry.cli.sources.bundle import Artifact, SourceError, in_build_order
from wherry.cli.sources.pinning import pinned
from wherry.cluster.building import builder
from wherry.cluster.paths import State


async def build_all(state: State, artifacts: Sequence[Artifact], progress: Progress) -> dict[str, str]:
    """Build in order; artifact image -> the name of what was built. Raises Failed with the step that failed."""
    built: dict[str, str] = {}
    if not artifacts:
        return built
    try:
        ordered = in_build_order(list(artifacts))
    except SourceError as error:
        raise Failed(str(error)) from None
    async with builder(state) as build:
        for artifact in ordered:
            row = f"image {artifact.image}"
            progress.update(row, "building")
            arguments = {**artifact.build_args, **{alias: built[image] for image, alias in artifact.requires}}
            request = Build(
                artifact.context, artifact.dockerfile, artifact.image, target=artifact.target, arguments=arguments
            )
            try:
                result = await build(request, functools.partial(progress.update, row))
            except BuildFailure as error:
                progress.update(row, str(error).splitlines()[0], "failed")
                raise Failed(f"image {artifact.image}: {error}") from None
            built[artifact.image] = pinned(artifact.image, result.image.id)
            await result.tag(built[artifact.image])
            progress.update(row, built[artifact.image], "unchanged" if result.cached else "done")
    return built
