"""What the launcher is told at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NS_ROOT = "ns-root"
NS_USER = "ns-user"
PROC = "proc"


@dataclass(frozen=True, slots=True)
class Options:
    """`state` is Wherry's state directory: hidden from pods; the launcher keeps its own files in `state`/launcher."""

    socket: str
    tier: str
    state: str
    pod_gateway: str
    local_addresses: tuple[str, ...] = ()
    cgroups: bool = True
    exact: bool = True
    """In tier proc: perform calls on duplicates of sockets where the kernel allows it, instead of rewriting memory."""
    grace: int = 10
    """Seconds that containers have to end after our SIGTERM: what Docker gives; the pods' own may be minutes."""


def parse(arguments: Sequence[str]) -> Options:
    """Of `python -m wherry.launcher`. Exits with 2 and a usage text for what it does not know."""
    import argparse  # others only read the names above

    parser = argparse.ArgumentParser(prog="python -m wherry.launcher", description="Wherry's launcher of pods")
    parser.add_argument("--socket", required=True, help="where to listen")
    parser.add_argument("--tier", required=True, choices=(NS_ROOT, NS_USER, PROC))
    parser.add_argument("--state", required=True, help="Wherry's state directory")
    parser.add_argument("--pod-gateway", default="10.244.0.1", help="the node's own address in the pod network")
    parser.add_argument(
        "--local-address", action="append", default=[], help="service addresses served by Wherry itself"
    )
    parser.add_argument(
        "--no-cgroups", action="store_true", help="leave limits unenforced even where cgroups are writable"
    )
    parser.add_argument(
        "--no-exact",
        action="store_true",
        help="tier proc: rewrite addresses in memory even where sockets can be duplicated",
    )
    parser.add_argument("--grace", type=int, default=10, help="seconds for containers to end in after SIGTERM")
    given = parser.parse_args(arguments)
    return Options(
        socket=given.socket,
        tier=given.tier,
        state=given.state,
        pod_gateway=given.pod_gateway,
        local_addresses=tuple(given.local_address),
        cgroups=not given.no_cgroups,
        exact=not given.no_exact,
        grace=given.grace,
    )
