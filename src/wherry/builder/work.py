"""One build on its way: stages as they are needed, instructions in order, failures with file and line."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace

from wherry.builder import file_steps
from wherry.builder.arguments import ArgumentError
from wherry.builder.context import ContextError
from wherry.builder.dockerfile import Dockerfile, Instruction, Stage
from wherry.builder.run_step import run_step
from wherry.builder.running import RunFailure
from wherry.builder.settings import SETTINGS
from wherry.builder.site import Site
from wherry.builder.stage import PATH, StageState
from wherry.images.layers import LayerError
from wherry.images.platform import architecture
from wherry.images.pull import PullFailure, pull
from wherry.images.reference import InvalidReference, Reference
from wherry.images.store import BASE_LABEL, HOST_REPOSITORY, StoreError

SHOWN = 200  # characters of an instruction in an error
FAILURES = (ContextError, RunFailure, InvalidReference, PullFailure, StoreError, LayerError, ValueError, OSError)


class BuildFailure(Exception):
    """The image was not built; nothing of it is kept. The text names file, line, instruction and why."""


class Work:
    """Builds each stage at most once, and only those the target needs."""

    def __init__(self, site: Site, dockerfile: Dockerfile) -> None:
        self._site, self._dockerfile = site, dockerfile
        self._stages: dict[int, StageState] = {}

    async def target(self, wanted: str) -> StageState:
        """The stage of that name or number, the last one when `wanted` is empty. Raises BuildFailure."""
        stages = self._dockerfile.stages
        number = self._number(wanted) if wanted else len(stages) - 1
        if number is None:
            names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
            raise BuildFailure(f"{self._dockerfile.path}: no stage {wanted!r}; there are: {names}")
        return await self._stage(number)

    def _number(self, name: str) -> int | None:
        for number, stage in enumerate(self._dockerfile.stages):
            if name.lower() == stage.name or name == str(number):
                return number
        return None

    async def _stage(self, number: int) -> StageState:
        if number not in self._stages:
            self._stages[number] = await self._build(number, self._dockerfile.stages[number])
        return self._stages[number]

    async def _build(self, number: int, stage: Stage) -> StageState:
        state = await self._guarded(stage.base, self._base(number, stage))
        for place, instruction in enumerate(stage.instructions, 1):
            self._site.report(f"{place}/{len(stage.instructions)} {instruction.source}"[:100])
            state = await self._guarded(instruction, self._apply(state, instruction, number))
        return state

    async def _guarded(self, instruction: Instruction, step: Coroutine[Any, Any, StageState]) -> StageState:
        try:
            return await step
        except BuildFailure:
            raise  # of a stage this one needs
        except FAILURES as error:
            raise failure(self._dockerfile, instruction, error) from error

    async def _apply(self, state: StageState, instruction: Instruction, number: int) -> StageState:
        async def origins(name: str) -> StageState:
            earlier = self._number(name)
            if earlier is None:
                return await self._image(name)
            if earlier >= number:
                raise ValueError(f"--from={name}: only stages before this one can be copied from")
            return await self._stage(earlier)

        if instruction.name in SETTINGS:
            return SETTINGS[instruction.name](state, instruction)
        match instruction.name:
            case "ARG":
                for name, value in self._site.arguments.stage(instruction, state.variables).items():
                    state = state.with_argument(name, value)
                return state
            case "WORKDIR":
                return await file_steps.workdir(self._site, state, instruction)
            case "RUN":
                return await run_step(self._site, state, instruction)
            case _:
                return await file_steps.copy(self._site, state, instruction, origins)

    async def _base(self, number: int, stage: Stage) -> StageState:
        name = self._site.arguments.expand(stage.base, stage.base.text)
        platform = self._site.arguments.expand(stage.base, stage.base.flag("platform"))
        if platform not in ("", f"linux/{architecture()}"):
            raise ValueError(f"--platform={platform}: images are built for this machine, linux/{architecture()}")
        if not name:
            raise ValueError("the base image's name is empty: does its ARG have a value?")
        earlier = self._number(name)
        if earlier is not None and earlier < number:
            return replace(await self._stage(earlier), arguments={}, own_command=False)
        if name == "scratch":
            return StageState("scratch", config={"Env": [f"PATH={PATH}"]})
        return await self._image(name)

    async def _image(self, name: str) -> StageState:
        """The state an image of the store (or of a registry) stands for."""
        store, reference = self._site.store, Reference.parse(name)
        if reference.repository == HOST_REPOSITORY:
            labels = {BASE_LABEL: "host"}
            return StageState(str(reference), config={"Env": [f"PATH={PATH}"], "Labels": labels})
        image = store.image(name)
        if image is None:
            self._site.report(f"pulling {name}")
            image = store.image_of(await pull(store, reference, {}))
        manifest = store.manifest(image.digest)
        config = store.image_config(manifest)
        settings = dict(config.get("config") or {})
        if settings.pop("OnBuild", None):
            raise ValueError(f"{name} has ONBUILD triggers, which are not supported: write them into this Dockerfile")
        base = f"{HOST_REPOSITORY}" if image.rootfs.host else ""
        return StageState(base, tuple(store.layers_of(manifest)), settings, history=tuple(config.get("history") or ()))


def failure(dockerfile: Dockerfile, instruction: Instruction, error: Exception) -> BuildFailure:
    """With file, line and instruction."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    where = error.instruction if isinstance(error, ArgumentError) else instruction
    source = where.source if len(where.source) <= SHOWN else where.source[:SHOWN] + " …"
    return BuildFailure(f"{dockerfile.path}:{where.line}: {source}\n  {reason}")
