"""Instructions that only change the image's configuration: state in, state out. Pure.

Raises VariableError or ValueError with what is wrong; the caller knows file and line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from wherry.builder.dockerfile import Instruction
from wherry.builder.stage import StageState
from wherry.builder.variables import assignments, word, words

Setting = Callable[[StageState, Instruction], StageState]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_CHECK_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def _env(state: StageState, instruction: Instruction) -> StageState:
    values = assignments(instruction.text, state.variables, instruction.escape)
    return state.with_environment(instruction.source, values)


def _label(state: StageState, instruction: Instruction) -> StageState:
    added = assignments(instruction.text, state.variables, instruction.escape)
    return state.with_config(instruction.source, Labels={**(state.config.get("Labels") or {}), **added})


def _user(state: StageState, instruction: Instruction) -> StageState:
    return state.with_config(instruction.source, User=single(state, instruction))


def _expose(state: StageState, instruction: Instruction) -> StageState:
    ports = dict(state.config.get("ExposedPorts") or {})
    for port_range in words(instruction.text, state.variables, instruction.escape):
        match = _PORT.fullmatch(port_range)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last < 65536:
            raise ValueError(f"{port_range!r} is not a port: write 8080, 8080/udp or 8000-8010")
        ports.update({f"{port}/{(match[3] or 'tcp').lower()}": {} for port in range(first, last + 1)})
    return state.with_config(instruction.source, ExposedPorts=ports)


def _volume(state: StageState, instruction: Instruction) -> StageState:
    """Noted in the configuration; Kubernetes declares volumes in the pod."""
    paths = expanded_words(state, instruction)
    volumes = {**(state.config.get("Volumes") or {}), **{path: {} for path in paths}}
    return state.with_config(instruction.source, Volumes=volumes)


def _stop_signal(state: StageState, instruction: Instruction) -> StageState:
    return state.with_config(instruction.source, StopSignal=single(state, instruction))


def _shell(state: StageState, instruction: Instruction) -> StageState:
    if not instruction.words:
        raise ValueError('SHELL requires the JSON form: SHELL ["/bin/bash", "-c"]')
    return state.with_config(instruction.source, Shell=list(instruction.words))


def _entrypoint(state: StageState, instruction: Instruction) -> StageState:
    """A CMD of the base belongs to the base's entrypoint."""
    cmd = state.config.get("Cmd") if state.own_command else []
    return state.with_config(instruction.source, Entrypoint=command(state, instruction), Cmd=cmd)


def _cmd(state: StageState, instruction: Instruction) -> StageState:
    return replace(state.with_config(instruction.source, Cmd=command(state, instruction)), own_command=True)


def _healthcheck(state: StageState, instruction: Instruction) -> StageState:
    """Noted in the configuration; Kubernetes has probes and does not read it."""
    if instruction.text.upper() == "NONE":
        return state.with_config(instruction.source, Healthcheck={"Test": ["NONE"]})
    kind, _, rest = instruction.text.partition(" ")
    rest = rest.strip()
    if kind.upper() != "CMD" or not rest:
        raise ValueError("HEALTHCHECK is followed by NONE or by CMD and a command")
    check: dict[str, Any] = {"Test": ["CMD", *json.loads(rest)] if rest.startswith("[") else ["CMD-SHELL", rest]}
    for flag, key in _CHECK_TIMES.items():
        if instruction.flag(flag):
            check[key] = _nanoseconds(instruction.flag(flag))
    if instruction.flag("retries"):
        check["Retries"] = int(instruction.flag("retries"))
    return state.with_config(instruction.source, Healthcheck=check)


def _nanoseconds(text: str) -> int:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write 30s or 1m30s")
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def command(state: StageState, instruction: Instruction) -> list[str]:
    """The JSON form as it is, the shell form through the stage's shell."""
    return list(instruction.words) if instruction.words is not None else [*state.shell, instruction.text]


def single(state: StageState, instruction: Instruction) -> str:
    """The whole text as one value, expanded, quotes around it removed. Raises ValueError when nothing is left."""
    found = word(instruction.text, state.variables, instruction.escape)
    if not found:
        raise ValueError(f"{instruction.name} is empty once its variables are replaced")
    return found


def expanded_words(state: StageState, instruction: Instruction) -> list[str]:
    """The arguments of COPY and VOLUME; also the JSON form has variables there."""
    if instruction.words is not None:
        return [word(each, state.variables, instruction.escape) for each in instruction.words]
    return words(instruction.text, state.variables, instruction.escape)


SETTINGS: dict[str, Setting] = {
    "ENV": _env,
    "LABEL": _label,
    "USER": _user,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal,
    "SHELL": _shell,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "HEALTHCHECK": _healthcheck,
}
