"""`wherry up [PATH…]`: start the system, build what PATH says, apply it, and wait until it serves.

Run again it changes only what changed: images by their content, objects by a three-way patch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic, time

import click

from wherry.cli import kept_file, starting
from wherry.cli.eviction import eviction_hard, eviction_pressure_transition_period
from wherry.cli.progress import Progress
from wherry.cli.session import USAGE, fail, system_options
from wherry.cli.sources.bundle import Bundle, SourceError
from wherry.cluster import system
from wherry.cluster.options import KUBERNETES_VERSIONS, TIERS, Options
from wherry.cluster.paths import State

NODE_PORT_SECONDS = 1.0  # the proxy has heard of a Service just made in milliseconds


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("-n", "--namespace", default="default", show_default=True, help="For objects that name none.")
@click.option("-p", "--profile", "profiles", multiple=True, help="A profile of skaffold.yaml; may be repeated.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until everything is ready.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait.")
@click.option("--kubernetes-version", type=click.Choice(KUBERNETES_VERSIONS), help="Which API to serve.")
@click.option("--tier", type=click.Choice(TIERS), help="How pods are isolated; `wherry doctor` explains.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the API server. [default: 6443, else the next free]"
)
@click.option("--nodes", type=int, help="Node agents on this machine, up to 8. [default: 1]")
@click.option("--simulated-nodes", type=int, help="Nodes that only pretend to run pods, up to 10,000. [default: 0]")
@kept_file.audit_policy
@kept_file.scheduler_config
@eviction_hard
@eviction_pressure_transition_period
@click.option("--pod-cidr", help="Addresses of pods. [default: 10.244.0.0/16]")
@click.option("--service-cidr", help="Addresses of Services. [default: 10.96.0.0/16]")
@system_options
def command(
    state: State,
    name: str,
    paths: tuple[Path, ...],
    namespace: str,
    profiles: tuple[str, ...],
    wait: bool,
    timeout: float,
    **chosen: str | int | None,
) -> None:
    """Start the system and bring up what PATH describes: a folder of YAML, a kustomization.yaml or a skaffold.yaml.

    Exit code 0: ready, 1: something failed, 2: usage.
    """
    try:
        bundle = Bundle()
        if paths:
            from wherry.cli.sources.folder import load

            for path in paths:
                bundle += load(path, profiles)
    except SourceError as error:
        fail(str(error), USAGE)
    before = Options.load(state.config) or Options(name=name)
    options = starting.settle(state, before.with_(**chosen))
    with Progress(monotonic, terminal=sys.stdout.isatty()) as progress:
        started = _begin(state, options, progress)
        if paths:
            import asyncio

            from wherry.cli.bringing_up import bring_up  # an HTTP client and a builder, which `up` alone does not need
        _until_ready(state, options, progress, started)
        if paths:
            asyncio.run(bring_up(state, options, bundle, namespace, progress, timeout if wait else None))
    _farewell(state, options)


def _begin(state: State, options: Options, progress: Progress) -> bool:
    """Whether it was started now. What is imported only after this is imported while the system starts."""
    progress.update("system", "looking")
    started = starting.begin(state, options, time())
    if started:
        progress.update("system", "starting")
    return started


def _until_ready(state: State, options: Options, progress: Progress, started: bool) -> None:
    from wherry.cli import reaching

    reaching.until_ready(state, options)
    file = reaching.write_kubeconfig(state, options)
    how = "API ready" if started else "runs already"
    progress.update("system", f"{how} at {options.server}, context {options.context} in {file}", "done")


def _farewell(state: State, options: Options) -> None:
    """Where to look now; a node port that another process holds is said instead of shown as ours."""
    from wherry.cli import status

    wanted = status.node_ports(state, options)
    ours: set[int] = set()

    def listens() -> bool:
        ours.update(status.node_ports_listened(state))
        return ours >= {port for port, _ in wanted.values()}

    system.wait_for(listens, NODE_PORT_SECONDS)
    for service, (port, url) in wanted.items():
        if port in ours:
            click.echo(f"  {click.style(url, bold=True)}  {service}")
        else:
            text = f"  {service}: port {port} of this machine is not open yet, or not ours: kubectl get events -A shows why"
            click.secho(text, fg="yellow", err=True)
