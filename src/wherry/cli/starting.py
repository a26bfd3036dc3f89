"""Start a system and wait until its API answers: the first half of `wherry up`, and all of it without a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wherry.cli import status
from wherry.cli.session import Failed
from wherry.client import kubeconfig
from wherry.cluster import system
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki

START_SECONDS = 30.0  # a cold disk and a busy machine; it is a fraction of a second otherwise
LOG_LINES = 5


def settle(state: State, given: Options) -> Options:
    """The options to run with: what was chosen at the first start, changed by what was `given` now."""
    return system.prepare(state, given)


def start(state: State, options: Options, running: Callable[[str], None]) -> bool:
    """Start or take over, and return once the API is ready. Whether it was started now. Raises Failed."""
    if not system.listed(state):
        state.ready.unlink(missing_ok=True)  # a crash of the machine left it
    started = system.start(state)
    if started:
        running("starting")

    def ready() -> bool:
        return state.ready.exists() and status.get(state, options, "/readyz") is not None

    if not system.wait_for(ready, START_SECONDS):
        raise Failed(
            f"the API server did not become ready within {START_SECONDS:.0f} s; the end of "
            f"{state.log('control-plane')}:\n{tail(state.log('control-plane')) or tail(state.log('supervisor'))}"
        )
    return started


def write_kubeconfig(state: State, options: Options) -> Path:
    """Add or renew our cluster, user and context, and make it current; the file written."""
    pki = Pki(state.pki)
    return kubeconfig.write(
        options.context,
        server=options.server,
        ca=pki.ca.read_bytes(),
        certificate=pki.certificate("admin").read_bytes(),
        key=pki.key("admin").read_bytes(),
    )


def tail(file: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log, indented; empty when there is none."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
