"""`wherry down`: end every process of the system; the state stays unless `--delete`."""

from __future__ import annotations

import click

from wherry.cli.session import Failed, system_options
from wherry.client import kubeconfig
from wherry.cluster import system, trees
from wherry.cluster.options import Options
from wherry.cluster.paths import State


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--delete", is_flag=True, help="Remove the state too: every object, image and volume.")
@system_options
def command(state: State, name: str, delete: bool) -> None:
    """Stop the system and everything it runs. `wherry up` starts it again as it was."""
    options = Options.load(state.config)
    if options is None and not state.root.exists():
        raise Failed(f"there is no system in {state.root}")
    ran = system.listed(state)
    system.stop(state)
    click.echo(f"stopped {len(ran)} processes" if ran else "nothing was running")
    if not delete:
        click.echo(f"state kept in {state.root}; `wherry down --delete` removes it")
        return
    system.remove(state, trees.remove)
    context = Options(name=name).context
    for access in kubeconfig.names_ending(f"@{context}"):  # of `wherry access`
        kubeconfig.remove(access)
    removed = kubeconfig.remove(context)
    click.echo(f"removed {state.root}" + (f" and context {context} from {removed}" if removed else ""))
