"""`wherry serve`: the system in the foreground, its logs on standard error; Ctrl-C stops it. For service managers and CI."""

from __future__ import annotations

import click

from wherry.cli import kept_file, starting
from wherry.cli.eviction import eviction_hard, eviction_pressure_transition_period
from wherry.cli.session import Failed, system_options
from wherry.cluster import processes, system
from wherry.cluster.options import KUBERNETES_VERSIONS, TIERS, Options
from wherry.cluster.paths import State


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kubernetes-version", type=click.Choice(KUBERNETES_VERSIONS), help="Which API to serve.")
@click.option("--tier", type=click.Choice(TIERS), help="How pods are isolated; `wherry doctor` explains.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API server.")
@kept_file.audit_policy
@kept_file.scheduler_config
@eviction_hard
@eviction_pressure_transition_period
@system_options
def command(state: State, name: str, **chosen: str | int | None) -> None:
    """Run the system until SIGTERM or Ctrl-C; the state stays."""
    if processes.running(state.pid_file("supervisor")):
        raise Failed(f"the system in {state.root} runs already: `wherry status` shows it")
    before = Options.load(state.config) or Options(name=name)
    options = starting.settle(state, before.with_(**chosen))
    click.echo(f"serving {options.server}, state in {state.root}; write a kubeconfig with `wherry kubeconfig --write`")
    system.supervise(state)
