"""A Dockerfile carried out: only the stages the target needs, each step taken from the cache when nothing it sees has changed."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct, field

from wherry.builder.arguments import ArgumentError, Arguments
from wherry.builder.context import BuildContext, ContextError
from wherry.builder.dockerfile import Dockerfile, DockerfileError, parse
from wherry.builder.site import Site
from wherry.builder.steps import Steps
from wherry.builder.work import BuildFailure, Work, failure
from wherry.cri.interface import RuntimeService
from wherry.images.blobs import clear_abandoned
from wherry.images.platform import architecture
from wherry.images.rootfs import Image
from wherry.images.store import ImageStore

__all__ = ["Build", "BuildFailure", "Builder", "Built"]


class Build(Struct, frozen=True):
    """What to build. `name` is the image's name, as manifests write it."""

    context: Path
    dockerfile: Path
    name: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


class Built(Struct, frozen=True):
    """The image; `cached` when every step came from the cache."""

    image: Image
    cached: bool
    store: ImageStore

    async def tag(self, name: str) -> None:
        self.store.tag(name, self.image.digest)


Report = Callable[[str], None]


class Builder(Struct):
    """One per store. `runtime` is asked for only when a RUN has to be carried out."""

    store: ImageStore
    runtime: Callable[[], Awaitable[RuntimeService]]
    rng: random.Random
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    async def __call__(self, request: Build, report: Report) -> Built:
        """Raises BuildFailure. `report` gets a line for each step and, while one runs, what it wrote last."""
        dockerfile = _read(request.dockerfile)
        try:
            arguments = Arguments(dockerfile, request.arguments, self.environment)
            context = BuildContext.load(request.context.resolve(), request.dockerfile)
        except ArgumentError as error:
            raise failure(dockerfile, error.instruction, error) from None
        except ContextError as error:
            raise BuildFailure(str(error)) from None
        for name in arguments.unused:
            report(f"warning: build argument {name} is used by no ARG")
        clear_abandoned(self.store.root)
        steps = Steps(self.store)
        site = Site(self.store, steps, context, arguments, self.runtime, self.rng, report)
        with self.store.using():
            state = await Work(site, dockerfile).target(request.target)
            descriptors = [descriptor for descriptor, _ in state.layers]
            digest = self.store.add(state.image_config(architecture()), descriptors)
            return Built(self.store.image_of(digest), steps.cached, self.store)


def _read(file: Path) -> Dockerfile:
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError:
        raise BuildFailure(f"{file}: is not UTF-8 text") from None
    except OSError as error:
        raise BuildFailure(f"{file}: {error.strerror}") from None
    except DockerfileError as error:
        raise BuildFailure(str(error)) from None
