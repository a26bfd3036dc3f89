"""One system as a whole, from outside: start it, ask whether it runs, stop it, remove it.

What `wherry up` and `wherry down` call, and what the supervisor process runs. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wherry.cluster import private, processes
from wherry.cluster.members import Member, members
from wherry.cluster.options import OptionError, Options
from wherry.cluster.paths import State
from wherry.cluster.supervisor import Role, Supervisor

ROLES = ("supervisor", "launcher", "netd", "control-plane")
"""Beside the node agents, of which there may be several."""
STOP_SECONDS = 60.0  # every role may take its own time to finish
PORTS_TRIED = 100
START_APART_SECONDS = 0.1
"""On two processors the imports of all processes at once were a third of the time until the API answered. Without it the node
agents have nothing to do, and netd nothing without them: they start this much later, one after the other, and are still ready
before their work is."""


class SystemFailure(Exception):
    """The system could not be started or stopped; the text says what to look at."""


def prepare(state: State, options: Options) -> Options:
    """Make the state directory and settle the port (once) and the tier (at each start). Idempotent.

    Raises OptionError for what cannot change (now), and SystemFailure when no tier, or not the one asked for, works here.
    """
    written = Options.load(state.config)
    if written is not None:
        written.refuse_changes(options, running=bool(listed(state)))
    state.prepare()
    if written is None:
        options = options.with_(port=free_port(options.address, options.port))
    options.save(state.config)
    if not processes.running(state.pid_file("launcher")):
        from wherry.launcher import detect  # the supervisor, which is this module too, stays small
        from wherry.launcher.protocol import LauncherError

        try:
            private.write(state.tier, detect.choose(str(state.root), options.tier or None))
        except LauncherError as error:
            raise SystemFailure(f"{error}; `wherry doctor` shows every check") from None
    return options


def free_port(address: str, port: int) -> int:
    """`port`, or the next one that nobody listens on. Raises OptionError."""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, candidate))
            except OSError:
                continue
            return candidate
    raise OptionError(f"--port {port}: no free port up to {port + PORTS_TRIED} on {address}")


def supervise(state: State) -> None:
    """The supervisor process: run until SIGTERM."""
    options = Options.load(state.config)
    if options is None:
        raise SystemFailure(f"{state.config} is missing: run `wherry up`")
    processes.record(os.getpid(), state.pid_file("supervisor"))
    Supervisor(roles(state, options)).run()
    state.pid_file("supervisor").unlink(missing_ok=True)


def roles(state: State, options: Options) -> list[Role]:
    """The processes of a system in the order they start; they end in the opposite order."""

    def role(name: str, *argv: str, listen: tuple[str, int] | None = None, after: float = 0.0) -> Role:
        command = [sys.executable, *argv]
        return Role(name, command, state.pid_file(name), state.log(name), listen, after)

    def component(name: str, listen: tuple[str, int] | None = None, after: float = 0.0) -> Role:
        return role(name, "-m", "wherry.cluster", name, "--state", str(state.root), listen=listen, after=after)

    def agent(each: Member) -> Role:
        command = ("-m", "wherry.cluster", "node-agent", "--state", str(state.root), "--node", str(each.number))
        return role(each.role, *command, after=START_APART_SECONDS)

    nodes = members(options)
    added = [part for each in nodes[1:] for part in ("--local-address", each.address)]
    launcher = role(
        "launcher",
        *("-m", "wherry.launcher", "--socket", str(state.launcher_socket), "--state", str(state.root)),
        *("--tier", state.tier.read_text(), "--pod-gateway", options.pod_gateway),
        *("--local-address", options.api_service_ip, "--local-address", options.dns_service_ip),
        *added,
    )
    return [
        component("control-plane", listen=(options.address, options.port)),
        launcher,
        component("netd", after=2 * START_APART_SECONDS),
        *map(agent, nodes),
    ]


def start(state: State) -> bool:
    """Start a supervisor unless one runs; it takes over whatever of its system still runs. Whether it was started."""
    if processes.running(state.pid_file("supervisor")):
        return False
    log = state.log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with open(log, "ab", opener=private.opener) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "wherry.cluster", "supervisor", "--state", str(state.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
    processes.record(process.pid, state.pid_file("supervisor"))
    process.returncode = 0  # it outlives us on purpose; Popen would warn that it still runs
    return True


def listed(state: State) -> list[tuple[str, int]]:
    """Role and pid of each process that runs."""
    found = ((role, processes.running(state.pid_file(role))) for role in (*ROLES, *agents(state)))
    return [(role, process.pid) for role, process in found if process]


def all_started(state: State) -> bool:
    """Whether every process was started since the system began; some may have ended again."""
    return all(state.pid_file(role).exists() for role in (*ROLES, *agents(state)))


def agents(state: State) -> list[str]:
    """The roles of the node agents, also of those that were there before the options changed."""
    found = {path.stem for path in state.run.glob("node-agent*.pid")}
    options = Options.load(state.config)
    return sorted(found | {each.role for each in members(options)} if options is not None else found)


def stop(state: State) -> None:
    """End every process of the system, also those a killed supervisor left behind. Raises SystemFailure."""
    supervisor = processes.running(state.pid_file("supervisor"))
    if supervisor:
        supervisor.signal(signal.SIGTERM)
        if not supervisor.wait(STOP_SECONDS):
            supervisor.signal(signal.SIGKILL)
            supervisor.wait(STOP_SECONDS)
    for role in (*agents(state), "netd", "launcher", "control-plane"):
        process = processes.running(state.pid_file(role))
        if process is None:
            continue
        process.signal(signal.SIGTERM)
        if not process.wait(STOP_SECONDS / 4):
            process.signal(signal.SIGKILL)
            if not process.wait(STOP_SECONDS / 4):
                raise SystemFailure(f"{role} (process {process.pid}) does not end, not even by SIGKILL: look at dmesg")
    for leftover in state.run.glob("*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def remove(state: State, delete_tree: Callable[[Path], None] = shutil.rmtree) -> None:
    """Remove the state directory of a stopped system. Raises SystemFailure when it still runs."""
    if listed(state):
        raise SystemFailure(f"the system in {state.root} still runs: stop it first")
    if state.root.exists():
        delete_tree(state.root)


def wait_for(condition: Callable[[], bool], seconds: float, monotonic: Callable[[], float] = time.monotonic) -> bool:
    """Ask `condition` every 5 ms for at most `seconds`: for commands that wait for another process's first breath."""
    end = monotonic() + seconds
    while not condition():
        if monotonic() > end:
            return False
        time.sleep(0.005)
    return True
