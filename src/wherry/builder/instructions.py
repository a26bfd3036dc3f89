"""What each instruction does to a stage: state in, state out. Those that touch files go through the layer cache."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from wherry.builder import copying
from wherry.builder.copying import Ownership, Source
from wherry.builder.dockerfile import Instruction
from wherry.builder.running import Run, run
from wherry.builder.stage import StageState
from wherry.builder.variables import assignments, expand, words
from wherry.builder.view import View
from wherry.cri.interface import Mount
from wherry.images import layers
from wherry.images.store import LAYER, Descriptor

if TYPE_CHECKING:
    from wherry.builder.build import _Work

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


async def apply(work: _Work, state: StageState, instruction: Instruction, stage: int) -> StageState:
    """Raises ContextError, VariableError, RunFailure, ValueError or FileNotFoundError with what is wrong."""
    rule = SETTINGS.get(instruction.name)
    if rule is not None:
        return rule(work, state, instruction)
    return await FILES[instruction.name](work, state, instruction, stage)


# --- settings: the image's configuration only


def _arg(work: _Work, state: StageState, instruction: Instruction) -> StageState:
    for word in instruction.text.split() if "=" not in instruction.text else [instruction.text]:
        name, equals, _ = word.partition("=")
        default = assignments(word, state.variables)[name] if equals else None
        value = work.argument(name, default)
        if value is not None:
            state = state.with_argument(name, value)
    return state


def _env(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    return state.with_environment(instruction.source, assignments(instruction.text, state.variables))


def _label(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    labels = {**(state.config.get("Labels") or {}), **assignments(instruction.text, state.variables)}
    return state.with_config(instruction.source, Labels=labels)


def _user(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    return state.with_config(instruction.source, User=expand(instruction.text, state.variables))


def _expose(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    ports = dict(state.config.get("ExposedPorts") or {})
    for word in words(instruction.text, state.variables):
        port, _, protocol = word.partition("/")
        if not port.replace("-", "").isdigit() or protocol.lower() not in ("", "tcp", "udp", "sctp"):
            raise ValueError(f"{word!r} is not a port: write 8080, 8080/udp or 8000-8010")
        ports[f"{port}/{protocol.lower() or 'tcp'}"] = {}
    return state.with_config(instruction.source, ExposedPorts=ports)


def _volume(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    paths = instruction.words or words(instruction.text, state.variables)
    return state.with_config(
        instruction.source, Volumes={**(state.config.get("Volumes") or {}), **{path: {} for path in paths}}
    )


def _stop_signal(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    return state.with_config(instruction.source, StopSignal=expand(instruction.text, state.variables))


def _shell(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    if not instruction.words:
        raise ValueError('SHELL requires the JSON form: SHELL ["/bin/bash", "-c"]')
    changed = state.with_config(instruction.source, Shell=list(instruction.words))
    return StageState(
        changed.key, changed.layers, changed.config, changed.arguments, changed.history, tuple(instruction.words)
    )


def _command(key: str) -> Callable[[_Work, StageState, Instruction], StageState]:
    def rule(_: _Work, state: StageState, instruction: Instruction) -> StageState:
        argv = list(instruction.words) if instruction.words is not None else [*state.shell, instruction.text]
        changes = {key: argv}
        if key == "Entrypoint":
            changes["Cmd"] = []  # a CMD of the base belongs to the base's entrypoint
        return state.with_config(instruction.source, **changes)

    return rule


def _healthcheck(_: _Work, state: StageState, instruction: Instruction) -> StageState:
    """Noted in the configuration; Kubernetes has probes and does not read it."""
    if instruction.text.upper() == "NONE":
        return state.with_config(instruction.source, Healthcheck={"Test": ["NONE"]})
    kind, _, rest = instruction.text.partition(" ")
    if kind.upper() != "CMD" or not rest:
        raise ValueError("HEALTHCHECK is followed by NONE or by CMD and a command")
    test = ["CMD", *json.loads(rest)] if rest.lstrip().startswith("[") else ["CMD-SHELL", rest]
    check: dict[str, object] = {"Test": test}
    for flag, field in (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod")):
        if instruction.flag(flag):
            check[field] = _nanoseconds(instruction.flag(flag))
    if instruction.flag("retries"):
        check["Retries"] = int(instruction.flag("retries"))
    return state.with_config(instruction.source, Healthcheck=check)


def _nanoseconds(text: str) -> int:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write 30s or 1m30s")
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


# --- files: a new layer, or the one the cache has


async def _workdir(work: _Work, state: StageState, instruction: Instruction, _: int) -> StageState:
    path = state.absolute(expand(instruction.text, state.variables).strip("\"'"))
    state = state.with_config(instruction.source, WorkingDir=path)
    view = state.view(work.store)
    if view.is_directory(PurePosixPath(path)):
        return state
    owner = _ownership(view, str(state.config.get("User") or "0"))
    return await _layered(
        work,
        state,
        state.keyed("workdir", path),
        instruction,
        lambda tree: copying.make_directory(tree, view, path, owner),
    )


async def _copy(work: _Work, state: StageState, instruction: Instruction, stage: int) -> StageState:
    variables = state.variables
    given = list(instruction.words or words(instruction.text, variables))
    if instruction.heredocs:
        given = [word for word in given if not word.startswith("<<")]
    if len(given) < (1 if instruction.heredocs else 2):
        raise ValueError(f"{instruction.name} requires at least two arguments: sources and a destination")
    *patterns, destination = given
    remote = [pattern for pattern in patterns if "://" in pattern or pattern.startswith("git@")]
    if remote:
        raise ValueError(f"{remote[0]}: fetch it in a RUN step, where its digest can be checked")
    if instruction.name == "ADD" and any(pattern.endswith((".tar", ".tar.gz", ".tgz")) for pattern in patterns):
        raise ValueError("ADD does not unpack archives here: COPY it and unpack it in a RUN step")
    view = state.view(work.store)
    sources, digest = await _sources(work, state, instruction, patterns, stage)
    owner = _ownership(view, expand(instruction.flag("chown"), variables) or "0", instruction.flag("chmod"))
    key = state.keyed("copy", destination, state.workdir, owner, digest)

    def fill(tree: Path) -> bool:
        copying.lay_out(tree, view, sources, destination, state.workdir, owner)
        for heredoc in instruction.heredocs:
            content = expand(heredoc.content, variables) if heredoc.expand else heredoc.content
            with work.store.temporary() as folder:
                file = folder / heredoc.name
                file.write_text(content)
                file.chmod(0o644)
                copying.lay_out(tree, view, [Source(heredoc.name, file)], destination, state.workdir, owner)
        return True

    return await _layered(work, state, key, instruction, fill)


async def _sources(
    work: _Work, state: StageState, instruction: Instruction, patterns: list[str], stage: int
) -> tuple[list[Source], str]:
    """What is copied, and a digest of it."""
    texts = "".join(heredoc.content for heredoc in instruction.heredocs)
    other = expand(instruction.flag("from"), state.variables)
    if not other:
        names = [name for pattern in patterns for name in work.context.sources(pattern)]
        digest = await asyncio.to_thread(work.context.digest, names)
        return copying.from_context(work.context, patterns), digest + texts
    number = work.stage_number(other)
    if number is not None and number >= stage:
        raise ValueError(f"--from={other}: only stages before this one can be copied from")
    origin = await work.stage(number) if number is not None else await work.image_state(other, instruction)
    try:
        found = list(copying.from_view(origin.view(work.store), patterns))
    except FileNotFoundError as error:
        raise ValueError(f"{error} is not in {other}") from None
    return found, f"{origin.key} {patterns}"


async def _run(work: _Work, state: StageState, instruction: Instruction, _: int) -> StageState:
    argv = list(instruction.words) if instruction.words is not None else [*state.shell, _script(instruction)]
    arguments = {name: value for name, value in state.arguments.items() if name not in work.predefined}
    key = state.keyed("run", argv, sorted(arguments.items()), instruction.flags)
    known = work.steps.get(key)
    if known is None:
        work.cached = False
        view = state.view(work.store)
        owner = _ownership(view, str(state.config.get("User") or "0"))
        environment = {**work.predefined, **state.arguments, **state.environment}
        environment.setdefault("HOME", "/root" if owner.uid == 0 else "/")
        with work.store.temporary() as folder:
            mounts = [*_resolv_conf(folder), *_mounts(work, state, instruction)]
            step = Run(argv, state.rootfs(work.store), environment, state.workdir, owner.uid, owner.gid, tuple(mounts))
            known = await run(await work.builder.runtime(), work.store, step, work.builder.rng, work.report)
        work.steps.put(key, known)
    return state.with_layer(key, known, instruction.source)


def _script(instruction: Instruction) -> str:
    """The shell's text, here-documents included as they were written."""
    documents = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
    if instruction.heredocs and instruction.text.startswith("<<"):
        return instruction.heredocs[0].content  # RUN <<EOF: the document is the script
    return instruction.text + documents


def _resolv_conf(folder: Path) -> list[Mount]:
    """The machine's own resolvers: a build shares its network."""
    file = folder / "resolv.conf"
    try:
        file.write_bytes(Path("/etc/resolv.conf").read_bytes())
    except OSError:
        return []
    return [Mount(file, "/etc/resolv.conf", readonly=True)]


def _mounts(work: _Work, state: StageState, instruction: Instruction) -> list[Mount]:
    """--mount=type=cache (kept between builds, part of no image) and type=bind (the context, read-only)."""
    found = []
    for name, value in instruction.flags:
        if name != "mount":
            if name == "network" and value != "default":
                raise ValueError(f"--network={value} is not supported: a build has the machine's network")
            continue
        options = dict(part.partition("=")[::2] for part in expand(value, state.variables).split(","))
        target = options.get("target") or options.get("dst") or options.get("destination") or ""
        kind = options.get("type", "bind")
        if not target:
            raise ValueError(f"--mount={value}: target is missing")
        if kind == "cache":
            identity = re.sub(r"[^A-Za-z0-9.-]", "_", options.get("id") or target)
            source = work.store.root / "cache" / identity
            source.mkdir(parents=True, exist_ok=True, mode=0o700)
            found.append(Mount(source, state.absolute(target)))
        elif kind == "bind" and "from" not in options:
            (relative,) = work.context.sources(options.get("source") or options.get("src") or ".")
            found.append(Mount(work.context.folder / relative, state.absolute(target), readonly=True))
        else:
            raise ValueError(f"--mount={value}: only type=cache and type=bind of the context are supported")
    return found


async def _layered(
    work: _Work, state: StageState, key: str, instruction: Instruction, fill: Callable[[Path], bool]
) -> StageState:
    """The layer of `key`: the one the cache has, or what `fill` writes into an empty directory."""
    known = work.steps.get(key)
    if known is None:
        work.cached = False
        known = await asyncio.to_thread(_make_layer, work, fill)
        work.steps.put(key, known)
    return state.with_layer(key, known, instruction.source)


def _make_layer(work: _Work, fill: Callable[[Path], bool]) -> tuple[Descriptor, str]:
    with work.store.temporary() as folder:
        tree = folder / "layer"
        tree.mkdir(mode=0o755)
        fill(tree)
        with work.store.writing() as writer:
            diff_id = layers.pack(tree, writer)  # type: ignore[arg-type]
        descriptor = Descriptor(LAYER, writer.digest, writer.size)
        work.store.adopt_layer(tree, diff_id)
    return descriptor, diff_id


def _ownership(view: View, owner: str, mode: str = "") -> Ownership:
    """`user[:group]` by number or by the image's own /etc/passwd and /etc/group. Raises ValueError."""
    user, _, group = owner.partition(":")
    uid, primary = _lookup(view, "/etc/passwd", user)
    gid = _lookup(view, "/etc/group", group)[0] if group else primary
    bits = None
    if mode:
        if not re.fullmatch(r"[0-7]{3,4}", mode):
            raise ValueError(f"--chmod={mode}: must be octal, as in 755")
        bits = stat.S_IMODE(int(mode, 8))
    return Ownership(uid, gid, bits)


def _lookup(view: View, file: str, name: str) -> tuple[int, int]:
    """(id, fourth field) of a user, (id, id) of a group."""
    if name.isdigit():
        return int(name), int(name) if file == "/etc/group" else 0
    for line in view.read_text(file).splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3:
            return int(fields[2]), int(fields[3]) if fields[3].isdigit() else int(fields[2])
    raise ValueError(f"unable to find {name!r} in {file} of the image: use a number")


SETTINGS: dict[str, Callable[[_Work, StageState, Instruction], StageState]] = {
    "ARG": _arg,
    "ENV": _env,
    "LABEL": _label,
    "USER": _user,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal,
    "SHELL": _shell,
    "ENTRYPOINT": _command("Entrypoint"),
    "CMD": _command("Cmd"),
    "HEALTHCHECK": _healthcheck,
}
FILES: dict[str, Callable[[_Work, StageState, Instruction, int], Awaitable[StageState]]] = {
    "WORKDIR": _workdir,
    "COPY": _copy,
    "ADD": _copy,
    "RUN": _run,
}
