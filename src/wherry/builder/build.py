"""A Dockerfile carried out: only the stages the target needs, each step taken from the cache when nothing it sees has changed."""

from __future__ import annotations

import json
import os
import platform
import random
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wherry.builder import instructions
from wherry.builder.context import BuildContext, ContextError
from wherry.builder.dockerfile import Dockerfile, DockerfileError, Instruction, Stage, parse
from wherry.builder.running import RunFailure
from wherry.builder.stage import PATH, StageState
from wherry.builder.steps import StepCache
from wherry.builder.variables import VariableError, assignments, words
from wherry.cri.interface import RuntimeService
from wherry.images.layers import LayerError
from wherry.images.pull import PullFailure, pull
from wherry.images.reference import InvalidReference, Reference
from wherry.images.rootfs import Image
from wherry.images.store import BASE_LABEL, HOST_REPOSITORY, Descriptor, ImageStore, StoreError

PREDEFINED = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
HOST_SETTINGS = (
    "PIP_",
    "UV_",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_",
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class BuildFailure(Exception):
    """The image was not built; nothing of it is kept. The text names file, line, instruction and why."""


@dataclass(frozen=True, slots=True)
class Build:
    """What to build. `name` is the image's name, as manifests write it."""

    context: Path
    dockerfile: Path
    name: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """The image; `cached` when every step came from the cache."""

    image: Image
    cached: bool
    store: ImageStore

    async def tag(self, name: str) -> None:
        self.store.tag(name, self.image.digest)


Report = Callable[[str], None]


@dataclass(slots=True)
class Builder:
    """One per store. `runtime` is asked for only when a RUN has to be carried out."""

    store: ImageStore
    runtime: Callable[[], Awaitable[RuntimeService]]
    rng: random.Random
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    async def __call__(self, request: Build, report: Report) -> Built:
        """Raises BuildFailure."""
        try:
            dockerfile = parse(request.dockerfile.read_text(), str(request.dockerfile))
        except OSError as error:
            raise BuildFailure(f"{request.dockerfile}: {error.strerror}") from None
        except DockerfileError as error:
            raise BuildFailure(str(error)) from None
        work = _Work(self, request, dockerfile, report)
        state = await work.target()
        architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
        config, descriptors = state.image_config(architecture), [descriptor for descriptor, _ in state.layers]
        digest = self.store.add(config, descriptors)
        return Built(self.store.image_of(digest), work.cached, self.store)


class _Work:
    """One build on its way."""

    def __init__(self, builder: Builder, request: Build, dockerfile: Dockerfile, report: Report) -> None:
        self.builder, self.request, self.dockerfile, self.report = builder, request, dockerfile, report
        self.store = builder.store
        self.steps = StepCache(self.store)
        self.context = BuildContext.load(request.context, request.dockerfile)
        self.cached = True
        self._stages: dict[int, StageState] = {}
        self._global = self._global_arguments()

    async def target(self) -> StageState:
        stages = self.dockerfile.stages
        wanted = self.request.target
        number = self.stage_number(wanted) if wanted else len(stages) - 1
        if number is None:
            names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
            raise BuildFailure(f"{self.dockerfile.path}: no stage {wanted!r}; there are: {names}")
        self._check_arguments()
        return await self.stage(number)

    def stage_number(self, name: str) -> int | None:
        """By name or by number."""
        for number, stage in enumerate(self.dockerfile.stages):
            if name.lower() == stage.name or name == str(number):
                return number
        return None

    async def stage(self, number: int) -> StageState:
        if number not in self._stages:
            self._stages[number] = await self._build_stage(number, self.dockerfile.stages[number])
        return self._stages[number]

    async def _build_stage(self, number: int, stage: Stage) -> StageState:
        state = await self._base(number, stage)
        for place, instruction in enumerate(stage.instructions, 1):
            self.report(f"{place}/{len(stage.instructions)} {instruction.source}"[:100])
            try:
                state = await instructions.apply(self, state, instruction, number)
            except (ContextError, VariableError, RunFailure, ValueError, FileNotFoundError) as error:
                raise self.failure(instruction, str(error)) from error
        return state

    async def _base(self, number: int, stage: Stage) -> StageState:
        try:
            name = words(stage.base.text, self._global, self.dockerfile.escape)[0]
        except (VariableError, IndexError):
            raise self.failure(stage.base, "the base image's name is empty: does its ARG have a value?") from None
        earlier = self.stage_number(name)
        if earlier is not None and earlier < number:
            before = await self.stage(earlier)
            return StageState(before.key, before.layers, before.config, history=before.history, shell=before.shell)
        if name == "scratch":
            return StageState("scratch", config={"Env": [f"PATH={PATH}"]})
        return await self.image_state(name, stage.base)

    async def image_state(self, name: str, instruction: Instruction) -> StageState:
        """The state an image of the store (or of a registry) stands for."""
        try:
            reference = Reference.parse(name)
            if reference.repository == HOST_REPOSITORY:
                labels = {BASE_LABEL: "host"}
                return StageState(f"host {reference}", config={"Env": [f"PATH={PATH}"], "Labels": labels})
            image = self.store.image(name)
            if image is None:
                self.report(f"pulling {name}")
                image = self.store.image_of(await pull(self.store, reference, {}))
                self.store.tag(name, image.digest)
        except (InvalidReference, StoreError, LayerError, PullFailure) as error:
            raise self.failure(instruction, str(error)) from None
        manifest = self.store.manifest(image.digest)
        config = json.loads(self.store.read(manifest["config"]["digest"]))
        layers = zip((Descriptor.of(entry) for entry in manifest["layers"]), config["rootfs"]["diff_ids"], strict=True)
        settings = config.get("config") or {}
        shell = tuple(settings.get("Shell") or ("/bin/sh", "-c"))
        return StageState(image.id, tuple(layers), settings, history=tuple(config.get("history") or ()), shell=shell)

    def failure(self, instruction: Instruction, message: str) -> BuildFailure:
        return BuildFailure(f"{self.dockerfile.path}:{instruction.line}: {instruction.source}\n  {message}")

    def argument(self, name: str, default: str | None) -> str | None:
        """The value of an ARG: given on the command line, from before the first FROM, or its default."""
        if name in self.request.arguments:
            return self.request.arguments[name]
        if name in self.predefined:
            return self.predefined[name]
        return default if default is not None else self._global.get(name)

    @property
    def predefined(self) -> dict[str, str]:
        """Never part of the image or of a cache key: how this machine reaches the world, and its Python."""
        given = self.builder.environment
        proxies = {name: given[name] for upper in PREDEFINED for name in (upper, upper.lower()) if name in given}
        settings = {name: value for name, value in given.items() if name.startswith(HOST_SETTINGS)}
        # The interpreter a virtual environment was made with, not the environment's own link to it.
        python = getattr(sys, "_base_executable", "") or sys.executable
        return {"WHERRY_PYTHON": os.path.realpath(python), **settings, **proxies}

    def _global_arguments(self) -> dict[str, str]:
        values: dict[str, str] = {}
        for instruction in self.dockerfile.arguments:
            name, equals, _ = instruction.text.partition("=")
            try:
                default = assignments(instruction.text, values)[name] if equals else None
            except VariableError as error:
                raise self.failure(instruction, str(error)) from None
            value = self.request.arguments.get(name, default)
            if value is not None:
                values[name] = value
        return values

    def _check_arguments(self) -> None:
        declared = {
            instruction.text.partition("=")[0].strip()
            for instruction in (
                *self.dockerfile.arguments,
                *(item for stage in self.dockerfile.stages for item in stage.instructions),
            )
            if instruction.name == "ARG"
        }
        unknown = sorted(set(self.request.arguments) - declared - set(self.predefined))
        if unknown:
            raise BuildFailure(
                f"{self.dockerfile.path}: build argument {unknown[0]} is not declared: add ARG {unknown[0]}"
            )
