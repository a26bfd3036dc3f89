"""`wherry doctor`: which tiers of isolation this machine allows, each check really tried, and what is lost without it."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict

import click

from wherry import __version__
from wherry.cli import status
from wherry.cli.session import system_options
from wherry.cluster import system
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.launcher import detect


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@system_options
def command(state: State, name: str, output: str) -> None:
    """Try what each tier needs and say why it works or not. Exit code 1 when no tier can run pods here."""
    report = detect.detect(str(state.root))
    if output == "json":
        click.echo(json.dumps({"chosen": report.chosen, **asdict(report)}, indent=2))
    else:
        _print(state, report)
    if report.chosen is None:
        raise SystemExit(1)


def _print(state: State, report: detect.Report) -> None:
    click.echo(
        f"wherry {__version__}, Python {platform.python_version()}, Linux {platform.release()} {platform.machine()}"
    )
    click.echo(f"interpreter {sys.executable}")
    for tier in report.tiers:
        usable = click.style("can be used", fg="green") if tier.usable else click.style("cannot be used", fg="red")
        click.echo(f"\ntier {tier.name}: {usable}")
        for check in tier.checks:
            mark, colour = ("✓", "green") if check.ok else ("✗", "red" if check.essential else "yellow")
            click.echo(f"  {click.style(mark, fg=colour)} {check.name}" + (f": {check.detail}" if check.detail else ""))
    chosen = report.chosen or "none: pods cannot run here, the API server and the controllers can"
    click.echo(f"\nchosen: {chosen}")
    options = Options.load(state.config)
    if options is None:
        click.echo(f"no system in {state.root} yet: `wherry up` starts one")
    else:
        running = ", ".join(f"{role} {pid}" for role, pid in system.listed(state)) or "nothing runs"
        click.echo(f"system in {state.root}, tier {status.tier(state, options) or 'not chosen yet'}: {running}")
