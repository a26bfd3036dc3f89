"""What every command needs: which system is meant, and a client of its API."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from wherry.cluster.options import OptionError, Options
from wherry.cluster.paths import State, default_state_directory
from wherry.cluster.system import SystemFailure

FAILED = 1
USAGE = 2


class Failed(Exception):
    """The command could not do its work: exit code 1 and this text, which says what and what to try."""


def system_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--name` and `--state-dir`, handed over as one `State`; our failures become exit codes."""

    @click.option("--name", default="default", show_default=True, help="Which system; each has its own state and port.")
    @click.option(
        "--state-dir", type=click.Path(path_type=Path), help="Where its state lies.", envvar="WHERRY_STATE_DIR"
    )
    @functools.wraps(function)
    def wrapped(name: str, state_dir: Path | None, **arguments: Any) -> Any:
        state = State((state_dir or default_state_directory(name)).absolute())
        try:
            return function(state=state, name=name, **arguments)
        except OptionError as error:
            fail(str(error), USAGE)
        except (Failed, SystemFailure) as error:
            fail(str(error), FAILED)

    return wrapped


def fail(message: str, code: int) -> NoReturn:
    """Print `message` and leave with `code`."""
    click.secho(f"wherry: {message}", err=True, fg="red")
    sys.exit(code)


def options_of(state: State) -> Options:
    """The options of an existing system. Raises Failed."""
    options = Options.load(state.config)
    if options is None:
        raise Failed(f"there is no system in {state.root}: run `wherry up` first")
    return options
