"""RUN: what the command sees, and so its cache key. `running.py` carries it out."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from wherry.builder import settings, users
from wherry.builder.dockerfile import Instruction
from wherry.builder.running import Run, run
from wherry.builder.site import Site
from wherry.builder.stage import StageState
from wherry.builder.steps import Layer, key_of
from wherry.builder.variables import word
from wherry.cri.interface import Mount

NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts")
"""The machine's own: a build shares its network."""


async def run_step(site: Site, state: StageState, instruction: Instruction) -> StageState:
    """Raises RunFailure, ContextError, VariableError or ValueError with what is wrong."""
    argv = _argv(state, instruction)
    user = users.user(state.view(site.store), state.user)
    environment = {"HOME": user.home, **state.arguments, **state.environment}
    mounts, mounted = _mounts(site, state, instruction)
    who = [user.uid, user.gid, list(user.groups)]
    key = key_of("run", state.files, argv, environment, state.workdir, who, mounted)

    async def make() -> Layer:
        with ExitStack() as stack:
            folder = stack.enter_context(site.store.temporary())
            step = Run(
                argv,
                state.rootfs(site.store),
                {**site.arguments.for_run(host=state.host), **environment},
                state.workdir,
                user,
                (*_network_files(folder), *mounts),
            )
            return await run(site.runtime, site.store, step, site.rng, site.report)

    return state.with_layer(await site.steps.layer(key, make), instruction.source)


def _argv(state: StageState, instruction: Instruction) -> list[str]:
    """Here-documents go to the shell as they were written; one that stands alone is the script. Raises ValueError."""
    if not instruction.heredocs or instruction.words is not None:
        return settings.command(state, instruction)
    first = instruction.heredocs[0]
    if not re.fullmatch(r"\d*<<-?[\"']?[\w.]+[\"']?", instruction.text):
        documents = "".join(f"\n{each.content}{each.name}" for each in instruction.heredocs)
        return [*state.shell, instruction.text + documents]
    if first.content.startswith("#!"):
        raise ValueError(f"a script with an interpreter of its own: write RUN python3 <<{first.name}")
    return [*state.shell, first.content]


def _network_files(folder: Path) -> list[Mount]:
    """Copies: the machine's may be links to where containers cannot look."""
    found = []
    for path in map(Path, NETWORK_FILES):
        file = folder / path.name
        try:
            file.write_bytes(path.read_bytes())
        except OSError:
            continue
        file.chmod(0o644)
        found.append(Mount(file, str(path), readonly=True))
    return found


def _mounts(site: Site, state: StageState, instruction: Instruction) -> tuple[list[Mount], list[object]]:
    """`--mount`: type=cache (kept between builds, part of no image) and type=bind (the context, read-only).

    Also what of them belongs to the cache key. Raises ValueError, ContextError.
    """
    found, seen = [], list[object]()
    for flag, value in instruction.flags:
        if flag == "network" and value not in ("default", "host"):
            raise ValueError(f"--network={value} is not supported: a build has the machine's network")
        if flag == "security" and value != "sandbox":
            raise ValueError(f"--security={value} is not supported: RUN is always confined")
        if flag != "mount":
            continue
        options = dict(part.partition("=")[::2] for part in word(value, state.variables, instruction.escape).split(","))
        kind = options.get("type", "bind")
        target = options.get("target") or options.get("dst") or options.get("destination") or ""
        if not target:
            raise ValueError(f"--mount={value}: target is missing")
        if kind == "cache" and "from" not in options:
            source = _cache_folder(site, options.get("id") or target)
            found.append(Mount(source, state.absolute(target)))
        elif kind == "tmpfs":
            raise ValueError(f"--mount={value}: type=tmpfs is not supported: use a directory the step removes")
        elif kind == "bind" and "from" not in options:
            source = _context_source(site, options.get("source") or options.get("src") or ".")
            found.append(Mount(source, state.absolute(target), readonly=True))
            seen.append(site.context.digest([str(source.relative_to(site.context.folder))]))
        else:
            raise ValueError(f"--mount={value}: only type=cache and type=bind of the context are supported")
        seen.append([kind, options])
    return found, seen


def _context_source(site: Site, pattern: str) -> Path:
    names = site.context.sources(pattern)
    if len(names) != 1:
        raise ValueError(f"--mount source {pattern!r} means {len(names)} files: name one")
    return site.context.real(names[0])


def _cache_folder(site: Site, identity: str) -> Path:
    folder = site.store.root / "cache" / re.sub(r"[^A-Za-z0-9.-]", "_", identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
