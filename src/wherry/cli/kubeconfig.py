"""`wherry kubeconfig`: the entry of this system, printed, or merged into the user's file again."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from wherry.api import yaml
from wherry.api.types import Obj
from wherry.cli import reaching
from wherry.cli.session import options_of, system_options
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Merge it into $KUBECONFIG or ~/.kube/config and make it current.")
@system_options
def command(state: State, name: str, write: bool) -> None:
    """Print a kubeconfig of this system alone: `wherry kubeconfig > file`."""
    options = options_of(state)
    if write:
        file = reaching.write_kubeconfig(state, options)
        click.echo(f"context {options.context} in {file}")
        return
    click.echo(yaml.dump(config(state, options)), nl=False)


def config(state: State, options: Options) -> Obj:
    """A whole kubeconfig with one cluster, one user, one context."""
    pki, name = Pki(state.pki), options.context

    def encoded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": options.server, "certificate-authority-data": encoded(pki.ca)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": encoded(pki.certificate("admin")),
                    "client-key-data": encoded(pki.key("admin")),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
