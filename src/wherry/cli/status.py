"""`wherry status`: is it running, where, and what can be opened. Standard library only: it answers in tens of milliseconds."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

import click

from wherry.cli import listening
from wherry.cli.session import Failed, system_options
from wherry.client.kubeconfig import default_path
from wherry.cluster import processes, system
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki

ANSWER_SECONDS = 2.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@system_options
def command(state: State, name: str, output: str) -> None:
    """Show what runs. Exit code 0: running, 1: not running or only in part."""
    found = status(state, name)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    if found["state"] != "running":
        raise SystemExit(1)


def status(state: State, name: str) -> dict[str, Any]:
    """What `-o json` prints. `state` is `running`, `degraded` (a process or the API is missing) or `stopped`."""
    options = Options.load(state.config)
    if options is None:
        raise Failed(f"there is no system in {state.root}: run `wherry up`")
    running = system.listed(state)
    answers = bool(running) and get(state, options, "/readyz") is not None
    complete = answers and {role for role, _ in running} == {*system.ROLES, *system.agents(state)}
    return {
        "name": name,
        "state": "running" if complete else "degraded" if running else "stopped",
        "tier": tier(state, options),
        "apiServer": options.server,
        "kubeconfig": str(default_path()),
        "context": options.context,
        "stateDir": str(state.root),
        "processes": [{"role": role, "pid": pid} for role, pid in running],
        "urls": urls(state, options) if answers else {},
    }


def tier(state: State, options: Options) -> str:
    """The tier in use: the launcher's choice when it was not given."""
    try:
        return state.tier.read_text().strip()
    except OSError:
        return options.tier


def urls(state: State, options: Options) -> dict[str, str]:
    """`namespace/service` (with `:port-name` where there are several) -> a URL that works from this machine."""
    ours = node_ports_listened(state)
    return {name: url for name, (port, url) in node_ports(state, options).items() if port in ours}


def node_ports(state: State, options: Options) -> dict[str, tuple[int, str]]:
    """Every node port of TCP by the name `urls` gives it, with the URL it would have."""
    found: dict[str, tuple[int, str]] = {}
    for service in json.loads(get(state, options, "/api/v1/services") or b'{"items":[]}')["items"]:
        ports = [port for port in service["spec"].get("ports") or [] if port.get("nodePort")]
        for port in (port for port in ports if port.get("protocol", "TCP") == "TCP"):
            label = f":{port['name']}" if len(ports) > 1 and port.get("name") else ""
            scheme = "https" if port["port"] == 443 or port.get("name") == "https" else "http"
            key = f"{service['metadata']['namespace']}/{service['metadata']['name']}{label}"
            found[key] = (port["nodePort"], f"{scheme}://127.0.0.1:{port['nodePort']}")
    return found


def node_ports_listened(state: State) -> set[int]:
    """What netd really listens on."""
    netd = processes.running(state.pid_file("netd"))
    return listening.ports(netd.pid) if netd else set()


def get(state: State, options: Options, path: str) -> bytes | None:
    """The body of an API answer as administrator; None when there is no answer or it is not 200."""
    pki = Pki(state.pki)
    try:
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        connection = http.client.HTTPSConnection(options.address, options.port, timeout=ANSWER_SECONDS, context=context)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
    except (OSError, http.client.HTTPException):
        return None
    return body if answer.status == 200 else None


def _print(found: dict[str, Any]) -> None:
    colour = {"running": "green", "degraded": "yellow"}.get(found["state"], "red")
    click.echo(f"{found['name']} is {click.style(found['state'], fg=colour)}, tier {found['tier'] or 'not chosen yet'}")
    click.echo(f"  API server   {found['apiServer']}")
    click.echo(f"  kubeconfig   {found['kubeconfig']}, context {found['context']}")
    click.echo(f"  state        {found['stateDir']}")
    processes = ", ".join(f"{item['role']} {item['pid']}" for item in found["processes"])
    click.echo(f"  processes    {processes or 'none'}")
    for service, url in found["urls"].items():
        click.echo(f"  {url:<28} {service}")
    if found["state"] != "running":
        click.echo("  start it with `wherry up`")
