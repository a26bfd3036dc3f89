"""The second half of a start: wait until the API answers, and say in the user's kubeconfig where it is.

Imported once the processes are on their way: TLS, HTTP and YAML are half of what `wherry up` imports, and it would only wait.
"""

from __future__ import annotations

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


def until_ready(state: State, options: Options) -> None:
    """Return once the API of a system that was begun is ready. Raises Failed."""

    def ready() -> bool:
        return state.ready.exists() and system.all_started(state) and status.get(state, options, "/readyz") is not None

    if not system.wait_for(ready, START_SECONDS):
        raise Failed(
            f"the API server did not become ready within {START_SECONDS:.0f} s; the end of "
            f"{state.log('control-plane')}:\n{tail(state.log('control-plane')) or tail(state.log('supervisor'))}"
        )


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
