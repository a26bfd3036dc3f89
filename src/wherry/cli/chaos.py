"""`wherry chaos`: faults made on purpose, on a running system, for a time; undone when the command ends, however it ends.

Is: the command line, and keeping faults alive as long as it runs. What a fault does is said in `chaos/`, and done by the
component in which it strikes, which lets go of it by itself a few seconds after it was renewed last.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import click

from wherry.aio.clock import RealClock
from wherry.aio.durations import seconds
from wherry.api.quantity import Quantity, QuantityError
from wherry.chaos import kept
from wherry.chaos.deciding import CODES, DROP, FILE_SYSTEM, NXDOMAIN, SERVFAIL, SIGNALS, STORAGE, check
from wherry.chaos.ends import ENDS
from wherry.chaos.faults import API, DISK, DNS, LEASE_SECONDS, NETWORK, NODE, PRESSURE, BadFault, Fault
from wherry.chaos.filler import Filler
from wherry.cli.asking import ask
from wherry.cli.chaos_disk import filling
from wherry.cli.chaos_network import Following, share
from wherry.cli.killing import killed_pods, killed_processes
from wherry.cli.session import Failed, options_of, system_options
from wherry.cluster import system
from wherry.cluster.paths import State
from wherry.cluster.system import wait_for
from wherry.kubelet.simulated.nodes import is_simulated
from wherry.network.fault_asking import FOLLOW_SECONDS

RENEW_SECONDS = LEASE_SECONDS / 5
FOR = "30s"


class Ended(Exception):
    """Somebody wants us to end."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make things fail on purpose, for a time. What is active is shown by `wherry chaos list`, and ends with the command."""


def lasting(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--for` and `--seed`, and which system."""
    function = click.option("--seed", default=0, show_default=True, help="Decides which chances are taken.")(function)
    function = click.option("--for", "length", default=FOR, show_default=True, help="How long, such as 30s or 5m.")(
        function
    )
    return system_options(function)


@command.command("list")
@system_options
def list_(state: State, name: str) -> None:
    """Show the faults that hold now."""
    now = RealClock().time()
    for fault in kept.listed(state.chaos):
        if fault.holds(now):
            click.echo(describe(fault))


@command.command()
@click.option("--fail", type=click.Choice([str(code) for code in CODES]), help="Answer with this code.")
@click.option("--delay", help="Let requests wait so long first, such as 200ms.")
@click.option("--verb", help="get, list, watch, create, update, patch, delete; several after commas.")
@click.option("--resource", help="deployments, deployments.apps.")
@click.option("-n", "--namespace")
@click.option("--object", "object_", help="Names of objects; * stands for anything.")
@click.option("--user", help="Who asks, such as system:serviceaccount:shop:orders. Parts of the system only if named.")
@click.option("--agent", help="User-Agent, such as kubectl*.")
@click.option("--share", default=1.0, show_default=True, help="Of the requests meant, how many it strikes.")
@lasting
def api(state: State, name: str, fail: str | None, delay: str | None, object_: str | None, **more: Any) -> None:
    """Requests of the API fail, or wait."""
    what: dict[str, Any] = {"fail": int(fail)} if fail else {}
    if delay:
        what["delay"] = _seconds(delay)
    if not what:
        raise Failed("say --fail, --delay or both")
    where = {key: more.pop(key) for key in ("verb", "resource", "namespace", "user", "agent")} | {"name": object_}
    hold(state, API, where, what, **more)


@command.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--answer", type=click.Choice([SERVFAIL, NXDOMAIN, DROP]), default=SERVFAIL, show_default=True)
@click.option("--share", default=1.0, show_default=True, help="Of the questions meant, how many it strikes.")
@lasting
def dns(state: State, name: str, names: tuple[str, ...], answer: str, **more: Any) -> None:
    """NAMES do not resolve in pods, such as `orders.shop.svc.cluster.local` or `*.example.com`."""
    hold(state, DNS, {"name": ",".join(names).lower()}, {"answer": answer}, **more)


@command.command()
@click.argument("node")
@lasting
def node(state: State, name: str, node: str, **more: Any) -> None:
    """NODE and the API cannot reach one another; its pods go on."""
    _running(state)
    ask(state, options_of(state), "GET", f"/api/v1/nodes/{node}")
    hold(state, NODE, {"node": node}, {}, **more)


@command.command()
@click.argument("of", type=click.Choice(list(SIGNALS)))
@click.option("--node", default="*", show_default=True)
@click.option("--available", default="0", show_default=True, help="What is left, such as 50Mi, before pods give back.")
@lasting
def pressure(state: State, name: str, of: str, node: str, available: str, **more: Any) -> None:
    """A node has too little memory, disk or inodes: its condition and its taint, and pods are evicted until there is enough.

    Nothing is really taken: the node is told that so much is left as if somebody outside of all pods had taken the rest.
    """
    _running(state)
    if not set("*?[,") & set(node) and is_simulated(ask(state, options_of(state), "GET", f"/api/v1/nodes/{node}")):
        raise Failed(f"{node} only pretends: it has no memory and no disk")
    hold(state, PRESSURE, {"node": node}, {"of": of, "available": _size("--available", available)}, **more)


@command.command()
@click.argument("of", type=click.Choice([STORAGE, FILE_SYSTEM]))
@click.option("--leave", default="0", show_default=True, help="How much of the file system stays free, such as 10Mi.")
@click.option("--share", default=1.0, show_default=True, help="Of the storage's writes, how many it strikes.")
@click.option("--force", is_flag=True, help="Also where others than this system lie on that file system.")
@lasting
def disk(state: State, name: str, of: str, leave: str, force: bool, **more: Any) -> None:
    """The disk is full: for the API's storage, whose writes fail and nothing else, or really, for everything on the file system
    that the state directory lies on."""
    _running(state)
    if of == STORAGE:
        hold(state, DISK, {}, {"of": of}, **more)
        return
    left = _size("--leave", leave)
    hold(state, DISK, {}, {"of": of, "leave": left}, **more, beside=filling(state, left, force))


@command.command()
@click.option("--from", "from_", help="Which pods send: a selector of labels, or service/NAME; all unless said.")
@click.option("--to", help="Which pods are sent to, likewise.")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("--to-namespace", help="That of --to, if it is another.")
@click.option("--delay", help="How long packets are held, such as 200ms.")
@click.option("--jitter", help="By how much that varies, to either side.")
@click.option("--loss", help="How many packets are lost, such as 0.1 or 10%; 100% parts them.")
@click.option("--both", is_flag=True, help="Also what comes back.")
@lasting
def network(
    state: State, name: str, delay: str | None, jitter: str | None, loss: str | None, both: bool, **more: Any
) -> None:
    """Packets from pods to pods come late, or not at all; of connections that stand, too."""
    what: dict[str, Any] = {key: _seconds(text) for key, text in (("delay", delay), ("jitter", jitter)) if text}
    what |= ({"loss": share(loss)} if loss else {}) | ({"both": True} if both else {})
    where = {"namespace": more.pop("namespace"), "from": more.pop("from_")}
    where |= {"to-namespace": more.pop("to_namespace"), "to": more.pop("to")}
    hold(state, NETWORK, where, what, **more, following=Following)


@command.command()
@click.option("-l", "--selector", default="", help="Which pods.")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("--every", default="10s", show_default=True)
@lasting
def pods(state: State, name: str, selector: str, namespace: str, every: str, length: str, seed: int) -> None:
    """Kill a pod, one of those meant at a time."""
    chance = random.Random(seed)
    with ending() as wanted:
        repeat(wanted, length, every, lambda: killed_pods(state, namespace, selector, chance))


@command.command()
@click.argument("roles", nargs=-1, required=True)
@click.option("--every", default="10s", show_default=True)
@lasting
def processes(state: State, name: str, roles: tuple[str, ...], every: str, length: str, seed: int) -> None:
    """kill -9 one process of the system at a time, of those whose ROLES are named: control-plane, netd, launcher, node-agent."""
    chance = random.Random(seed)
    with ending() as wanted:
        repeat(wanted, length, every, lambda: killed_processes(state, roles, chance))


def hold(
    state: State,
    kind: str,
    where: dict[str, Any],
    what: dict[str, Any],
    length: str,
    seed: int,
    share: float = 1.0,
    following: Callable[[State], Following] | None = None,
    beside: AbstractContextManager[Filler] | None = None,
) -> None:
    """Until its time is over, or somebody ends the command. `following` says from time to time whom it is about, `beside` is held
    meanwhile. Raises Failed."""
    clock = RealClock()
    try:
        meant = {key: value for key, value in where.items() if value}
        fault = Fault(kept.new_name(kind), kind, meant, what, share, seed)
        check(fault)
    except BadFault as error:
        raise Failed(str(error)) from None
    _running(state)
    followed = following(state) if following else None
    pause = FOLLOW_SECONDS if followed else RENEW_SECONDS
    with ending() as wanted, ExitStack() as held:
        end = clock.monotonic() + _seconds(length)
        try:
            fault = followed.begin(fault) if followed else fault
            kept.renew(state.chaos, fault, clock.time())
            if followed:
                followed.confirm(fault, lambda: kept.renew(state.chaos, fault, clock.time()))
            filler = held.enter_context(beside) if beside else None
            click.echo(f"{describe(fault)}, for {length}")
            while (left := end - clock.monotonic()) > 0 and not wait_for(wanted, min(left, pause)):
                fault = followed(fault) if followed else fault
                if filler:
                    filler.top_up()
                kept.renew(state.chaos, fault, clock.time())
        finally:
            with suppress(OSError):
                kept.end(state.chaos, fault)
    click.echo(f"{fault.name} is over")


def repeat(wanted: Callable[[], bool], length: str, every: str, strike: Callable[[], str]) -> None:
    """Strike now and after every pause, until the time is over. Raises Failed if the first time fails; later it may be that
    something else was just killed."""
    clock = RealClock()
    end, pause = clock.monotonic() + _seconds(length), _seconds(every)
    click.echo(strike())
    while (left := end - clock.monotonic()) > 0 and not wait_for(wanted, min(left, pause)):
        if clock.monotonic() < end:
            try:
                click.echo(strike())
            except Failed as error:
                click.echo(str(error))


@contextmanager
def ending() -> Iterator[Callable[[], bool]]:
    """Whether somebody has asked us to end; Ctrl-C, kill and a closed terminal ask in good order."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in numbers]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def describe(fault: Fault) -> str:
    """One line."""
    where = " ".join(f"{key}={value}" for key, value in fault.where.items())
    what = " ".join(f"{key}={value}" for key, value in fault.what.items())
    share = f" share={fault.share} seed={fault.seed}" if fault.share < 1 else ""
    pods = "{} pods to {}".format(*(len(fault.ends[end]) for end in ENDS)) if fault.ends else ""
    return " ".join(part for part in (fault.name, where, what, pods) if part) + share


def _running(state: State) -> None:
    options_of(state)
    if not system.listed(state):
        raise Failed("the system does not run: run `wherry up` first")


def _size(option: str, text: str) -> int:
    try:
        return Quantity.parse(text).value()
    except QuantityError as error:
        raise Failed(f"{option} {text}: {error}") from None


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise Failed(str(error)) from None
