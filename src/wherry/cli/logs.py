"""`wherry logs [APP]`: the streams of all pods of an application, or of all, merged and coloured by pod."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import click

from wherry.aio.clock import RealClock, parse_rfc3339
from wherry.api.errors import StatusError
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.cli.connect import Connection, connect
from wherry.cli.session import Failed, options_of, system_options
from wherry.client.logs import lines
from wherry.cluster.options import Options
from wherry.cluster.paths import State

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")
APP_LABELS = ("app.kubernetes.io/name", "app", "k8s-app", "app.kubernetes.io/part-of")
SYSTEM_NAMESPACES = ("kube-system",)
RETRY_SECONDS = 0.3
_DURATION = re.compile(r"(?P<number>\d+)(?P<unit>[smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pods and how much of each."""

    app: str
    namespace: str
    tail: int | None
    since_seconds: int | None
    previous: bool
    timestamps: bool

    def wants(self, pod: Obj) -> bool:
        metadata = pod["metadata"]
        if self.namespace and metadata["namespace"] != self.namespace:
            return False
        if not self.app:
            return bool(self.namespace) or metadata["namespace"] not in SYSTEM_NAMESPACES
        labels = metadata.get("labels") or {}
        return metadata["name"] == self.app or any(labels.get(label) == self.app for label in APP_LABELS)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("app", default="")
@click.option("-n", "--namespace", default="", help="Only this namespace. [default: all but kube-system]")
@click.option("-f", "--follow", is_flag=True, help="Go on as long as pods write, also those that start later.")
@click.option("--tail", type=click.IntRange(0), help="Only the last lines of each container.")
@click.option("--since", default="", help="Only what is newer: 30s, 5m, 2h.")
@click.option("-p", "--previous", is_flag=True, help="The run before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@system_options
def command(
    state: State,
    name: str,
    app: str,
    namespace: str,
    follow: bool,
    tail: int | None,
    since: str,
    previous: bool,
    timestamps: bool,
) -> None:
    """Show the logs of APP (its app.kubernetes.io/name, its app label, or the name of a pod), or of everything."""
    choice = Choice(app, namespace, tail, seconds(since) if since else None, previous, timestamps)
    try:
        asyncio.run(_run(state, options_of(state), choice, follow))
    except KeyboardInterrupt:
        return
    except (ConnectionError, StatusError) as error:
        raise Failed(str(error)) from None


def seconds(text: str) -> int:
    """`5m` -> 300. Raises click.BadParameter."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r}: use a number and s, m, h or d, as in 5m", param_hint="--since")
    return int(match["number"]) * UNITS[match["unit"]]


async def _run(state: State, options: Options, choice: Choice, follow: bool) -> None:
    async with connect(state, options) as connection:
        found = await connection.client.list(PODS)
        pods = [pod for pod in found["items"] if choice.wants(pod)]
        if not pods and not follow:
            known = {(pod["metadata"].get("labels") or {}).get(APP_LABELS[0]) for pod in found["items"]}
            names = ", ".join(sorted(app for app in known if app)) or "none"
            raise Failed(f"no pods of {choice.app or 'any application'}; applications that run: {names}")
        if follow:
            await _Follower(connection, choice).run(pods, found["metadata"]["resourceVersion"])
        else:
            await _print_sorted(connection, choice, pods)


async def _print_sorted(connection: Connection, choice: Choice, pods: list[Obj]) -> None:
    """What is there, all streams merged by the time of each line."""

    async def read(pod: Obj, container: str) -> list[tuple[float, str, str]]:
        stream = _lines(connection, choice, pod, container, follow=False, timestamps=True)
        rows = []
        async for line in stream:
            stamp, _, text = line.partition(" ")
            rows.append((parse_rfc3339(stamp[:26] + "Z"), _prefix(pod, container), line if choice.timestamps else text))
        return rows

    streams = await asyncio.gather(*(read(pod, container) for pod in pods for container in _containers(pod)))
    for _, prefix, text in sorted((row for stream in streams for row in stream), key=lambda row: row[0]):
        click.echo(f"{prefix} {text}")


class _Follower:
    """Prints the streams of pods that are there and of those that come."""

    def __init__(self, connection: Connection, choice: Choice) -> None:
        self.connection, self.choice = connection, choice
        self.started: set[tuple[str, str, int]] = set()

    async def run(self, pods: list[Obj], resource_version: str) -> None:
        async with asyncio.TaskGroup() as group:
            for pod in pods:
                self._start(group, pod)
            while True:
                watch = self.connection.client.watch(PODS, resource_version=resource_version)
                async with watch as events:
                    async for event in events:
                        if event["type"] == "ERROR":
                            resource_version = ""
                            break
                        resource_version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] in ("ADDED", "MODIFIED") and self.choice.wants(event["object"]):
                            self._start(group, event["object"])

    def _start(self, group: asyncio.TaskGroup, pod: Obj) -> None:
        """Follow each container that has started, once per run of it."""
        for status in pod.get("status", {}).get("containerStatuses") or []:
            run = (pod["metadata"]["uid"], status["name"], status.get("restartCount", 0))
            if run not in self.started and ("running" in status["state"] or "terminated" in status["state"]):
                self.started.add(run)
                group.create_task(self._follow(pod, status["name"]))

    async def _follow(self, pod: Obj, container: str) -> None:
        timestamps = self.choice.timestamps
        try:
            async for line in _lines(self.connection, self.choice, pod, container, follow=True, timestamps=timestamps):
                click.echo(f"{_prefix(pod, container)} {line}")
        except (StatusError, ConnectionError) as error:
            click.echo(f"{_prefix(pod, container)} {click.style(f'(stream ended: {error})', fg='bright_black')}")
            await RealClock().sleep(RETRY_SECONDS)


def _lines(
    connection: Connection, choice: Choice, pod: Obj, container: str, *, follow: bool, timestamps: bool
) -> AsyncIterator[str]:
    return lines(
        connection.transport,
        pod["metadata"]["namespace"],
        pod["metadata"]["name"],
        container,
        follow=follow,
        previous=choice.previous,
        tail=choice.tail,
        since_seconds=choice.since_seconds,
        timestamps=timestamps,
    )


def _containers(pod: Obj) -> list[str]:
    started = {"running", "terminated"}
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return [item["name"] for item in statuses if started & set(item["state"]) or item.get("lastState")]


def _prefix(pod: Obj, container: str) -> str:
    name = pod["metadata"]["name"]
    several = len(pod["spec"]["containers"]) > 1
    colour = COLOURS[sum(name.encode()) % len(COLOURS)]
    return click.style(f"{name}{f'/{container}' if several else ''} |", fg=colour)
