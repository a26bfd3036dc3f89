"""`wherry secrets rotate`: a new key for the Secrets in storage, and none of them readable with the old one."""

from __future__ import annotations

import asyncio

import click

from wherry.cli.asking import ask
from wherry.cli.session import options_of, system_options
from wherry.cluster.paths import State


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Secrets are encrypted in the storage file with a key in `pki/encryption.json` of the state directory."""


@command.command(context_settings={"help_option_names": ["-h", "--help"]})
@system_options
def rotate(state: State, name: str) -> None:
    """Make a new key, encrypt every Secret with it, drop the old key. The system may run meanwhile."""
    options = options_of(state)
    from wherry.cluster import encryption

    try:
        done = asyncio.run(encryption.rotate_stopped(state))
    except encryption.Running:
        done = ask(state, options, "POST", encryption.ROTATE)
    click.echo(f"{done['rewritten']} values encrypted with the new key {done['key']}; the old one is gone")
