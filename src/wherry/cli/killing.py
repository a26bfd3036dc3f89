"""What `wherry chaos pods` and `wherry chaos processes` kill: one at a time, chosen by chance among those meant."""

from __future__ import annotations

import random
import signal
from http.client import NOT_FOUND
from urllib.parse import quote

from wherry.cli.asking import Refused, ask
from wherry.cli.session import Failed, options_of
from wherry.cluster import processes, system
from wherry.cluster.paths import State


def killed_pods(state: State, namespace: str, selector: str, chance: random.Random) -> str:
    """Kill one; what was done, in words. Raises Failed."""
    options, path = options_of(state), f"/api/v1/namespaces/{namespace}/pods"
    found = ask(state, options, "GET", f"{path}?labelSelector={quote(selector)}")["items"]
    pods = sorted(one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])
    if not pods:
        return f"no pod of {namespace} is meant"
    name = chance.choice(pods)
    try:
        ask(state, options, "DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0})
    except Refused as error:
        if error.code != NOT_FOUND:
            raise
        return f"pod {namespace}/{name} has just ended by itself"
    return f"killed pod {namespace}/{name}"


def killed_processes(state: State, roles: tuple[str, ...], chance: random.Random) -> str:
    """Kill one; what was done, in words. Raises Failed."""
    running = system.listed(state)
    meant = [each for each in running if any(each[0] == role or each[0].startswith(f"{role}-") for role in roles)]
    if not meant:
        names = ", ".join(role for role, _ in running) or "none"
        raise Failed(f"no process {', '.join(roles)} runs; there are: {names}")
    role, pid = chance.choice(meant)
    process = processes.running(state.pid_file(role))
    if process is None:
        return f"{role} has just ended by itself"
    process.signal(signal.SIGKILL)
    return f"killed {role} (process {pid})"
