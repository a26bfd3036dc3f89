"""`wherry`: the commands. Each is imported when it is called, so that `wherry status` does not pay for `wherry up`."""

from __future__ import annotations

import atexit
import gc
import importlib

import click

from wherry import __version__

COMMANDS = {
    "up": "Start the system and bring up an application",
    "down": "Stop the system, keep or delete its state",
    "status": "Show what runs",
    "build": "Build images from Dockerfiles",
    "logs": "Show the logs of an application, merged",
    "chaos": "Make things fail on purpose, for a time",
    "doctor": "Show what this machine allows and why",
    "kubeconfig": "Print or write the kubeconfig entry",
    "access": "Make credentials for one namespace each",
    "token": "Print a credential for kubectl (exec plugin)",
    "secrets": "Rotate the key Secrets are encrypted with",
    "serve": "Run the system in the foreground",
    "image": "List, load, save and remove images",
}


class Lazy(click.Group):
    """Knows the names and one-line helps; loads a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"wherry.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def kubectl() -> None:
    """`kubectl wherry …`: kubectl runs the program `kubectl-wherry` with the rest of the line."""
    main(prog_name="kubectl wherry")


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wherry")
def main() -> None:
    """Run a microservices application on this machine from its ordinary Kubernetes manifests."""
    atexit.register(gc.freeze)  # else Python looks through all that was imported before it lets the process end: 12 ms
