"""Build arguments: what is given, what is predefined, what stands before the first FROM. Pure.

Predefined ones (proxies, how this machine's package tools reach their indexes, its Python) reach every RUN that may need
them and become part of a cache key only where an ARG names them; they are never part of an image.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from wherry.builder.dockerfile import Dockerfile, Instruction
from wherry.builder.variables import VariableError, word, words
from wherry.images.platform import architecture

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_HOST_SETTINGS = (
    *("PIP_", "UV_", "npm_config_"),
    *("SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
)
"""Prefixes. They name files of this machine, so only images of `wherry.dev/host` get them."""


class ArgumentError(ValueError):
    """An ARG cannot be read; `instruction` is where."""

    def __init__(self, message: str, instruction: Instruction) -> None:
        super().__init__(message)
        self.instruction = instruction


class Arguments:
    """The arguments of one build."""

    def __init__(self, dockerfile: Dockerfile, given: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """Raises ArgumentError."""
        self._given = given
        self.proxies = {
            name: environment[name] for each in _PROXIES for name in (each, each.lower()) if name in environment
        }
        settings = {name: value for name, value in environment.items() if name.startswith(_HOST_SETTINGS)}
        # The interpreter a virtual environment was made with, not the environment's own link to it.
        python = getattr(sys, "_base_executable", "") or sys.executable
        self.host_settings = {"WHERRY_PYTHON": os.path.realpath(python), **settings}
        self._predefined = {**self.host_settings, **self.proxies}
        self._global = _platform()
        for instruction in dockerfile.arguments:
            self._global.update(self._values(instruction, self._global, {}))
        self._declared = _declared(dockerfile)

    def expand(self, instruction: Instruction, text: str) -> str:
        """Variables of a FROM, which sees only what stands before the first one."""
        return word(text, self._global, instruction.escape)

    def stage(self, instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
        """The values an ARG of a stage sets; a name without any value is left out. Raises ArgumentError."""
        return self._values(instruction, variables, {**self._predefined, **self._global})

    def for_run(self, *, host: bool) -> dict[str, str]:
        """Environment of a RUN that no ARG has to name."""
        return {**self.host_settings, **self.proxies} if host else dict(self.proxies)

    @property
    def unused(self) -> list[str]:
        """Given, but no ARG names them."""
        return sorted(set(self._given) - self._declared - set(self._predefined) - set(_platform()))

    def _values(
        self, instruction: Instruction, variables: Mapping[str, str], inherited: Mapping[str, str]
    ) -> dict[str, str]:
        """Given wins over the default, the default over what is inherited; but nothing of this machine yields to a default."""
        try:
            found = words(instruction.text, variables, instruction.escape)
        except VariableError as error:
            raise ArgumentError(str(error), instruction) from None
        values: dict[str, str] = {}
        for each in found:
            name, equals, default = each.partition("=")
            value = self._given.get(name, self._predefined.get(name))
            if value is None:
                value = default if equals else inherited.get(name)
            if value is not None:
                values[name] = value
        return values


def _declared(dockerfile: Dockerfile) -> set[str]:
    everywhere = (*dockerfile.arguments, *(each for stage in dockerfile.stages for each in stage.instructions))
    lines = (each.text for each in everywhere if each.name == "ARG")
    return {part.partition("=")[0] for line in lines for part in line.split()}


def _platform() -> dict[str, str]:
    """BuildKit's global arguments: images are built for the machine they are built on."""
    values = {"PLATFORM": f"linux/{architecture()}", "OS": "linux", "ARCH": architecture(), "VARIANT": ""}
    return {side + name: value for side in ("TARGET", "BUILD") for name, value in values.items()}
