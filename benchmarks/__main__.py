"""`make bench`: everything docs and issues quote, from one run on one machine. Read ratios, not absolutes.

python -m benchmarks [start idle pods api watch watches storage sandbox service scheduling latency scale large cel custom
growth proc many shop]
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import instrument
from benchmarks.machine import Machine, cpu_seconds, pss_megabytes

IDLE_SECONDS = 10.0
CONNECTIONS = (1, 16, 64)
SECONDS = "4s"
WARM = "1s"


def row(name: str, *values: str) -> None:
    print(f"{name:<46}" + "".join(f"{value:>16}" for value in values), flush=True)


def start(machine: Machine) -> None:
    row("cold start, nothing there → API ready", f"{machine.up():.2f} s")
    machine.wherry("down")
    row("start with state → API ready", f"{machine.up():.2f} s")
    row("up on a running system", f"{machine.up():.2f} s")


def idle(machine: Machine) -> None:
    time.sleep(3)
    pids = machine.pids()
    before = {pid: cpu_seconds(pid) for group in pids.values() for pid in group}
    time.sleep(IDLE_SECONDS)
    total = 0.0
    for role, group in pids.items():
        memory = sum(pss_megabytes(pid) for pid in group)
        share = sum(cpu_seconds(pid) - before[pid] for pid in group) / IDLE_SECONDS * 100
        total += memory
        row(f"idle {role}", f"{memory:.0f} MB PSS", f"{share:.1f} % of a core")
    used = sum(cpu_seconds(pid) - before[pid] for pid in before) / IDLE_SECONDS * 100
    row("idle, all our processes", f"{total:.0f} MB PSS", f"{used:.1f} % of a core")


def pods(machine: Machine) -> None:
    program, server = instrument.build(), machine.server()
    image = ["-image", "wherry.dev/host:v1", "-ns", "pods"]
    for count in (1, 10, 50):
        for kind, options in (("", ["-args", "sleep,1000"]), (", HTTP probe", ["-args", PROBED, "-probe", "8080"])):
            name = f"d{count}{'p' if kind else ''}"
            common = [*image, *options, "-name", name, "-replicas", str(count)]
            for line in instrument.run(program, server, "deploy", *common).splitlines():
                row(f"apply → Ready, {count} pods{kind}", line.split(": ", 1)[-1])
            instrument.run(program, server, "del-deploy", *common)


# A server that listens after about 10 ms, so that our own time is measured; without commas, which separate arguments.
SERVER = r"""import socket
s=socket.create_server((''~8080))
while 1:
 c~a=s.accept();c.recv(999);c.send(b'HTTP/1.0 200 OK\r\n\r\n');c.close()"""
PROBED = f"python3,-I,-S,-c,exec(chr(44).join({SERVER!r}.split('~')))"


def api(machine: Machine) -> None:
    program, server = instrument.build(), machine.server()
    control_plane = next(group[0] for role, group in machine.pids().items() if role == "control-plane")
    common = ["-d", SECONDS, "-warm", WARM, "-pids", f"api={control_plane}"]
    print(instrument.run(program, server, "setup", "-n", "1000"))
    row("API over TLS, requests/s (p50 ms, CPU ms/request)", *(f"{c} connections" for c in CONNECTIONS))
    names = {"get": "GET pod", "list": "LIST 1,000 pods", "create-cm": "create ConfigMap", "create-pod": "create Pod"}
    names |= {"patch-cm": "merge-patch ConfigMap", "ssa": "server-side apply Deployment"}
    for op, name in names.items():
        found = [instrument.parse(instrument.run(program, server, op, "-c", str(c), *common)) for c in CONNECTIONS]
        row(name, *(f"{each.rate:.0f} ({each.p50:.1f}, {each.cpu:.2f})" for each in found))
        for each in found:
            if each.errors:
                row(f"  {name}", f"{each.errors} errors")


def watch(machine: Machine) -> None:
    program, server = instrument.build(), machine.server()
    for watchers, writes in ((100, 200), (1000, 40)):
        print(instrument.run(program, server, "watch", "-c", str(watchers), "-n", str(writes)))


def idle_watches(machine: Machine) -> None:
    from benchmarks.idle_watches import rows

    for name, *values in rows(machine):
        row(name, *values)


def shop(machine: Machine) -> None:
    row("shop, first time (images are built)", f"{machine.up('examples/shop'):.1f} s")
    machine.wherry("down")
    row("shop, warm: down, then up → all ready", f"{machine.up('examples/shop'):.1f} s")
    row("shop, up with nothing to change", f"{machine.up('examples/shop'):.1f} s")


def part(module: str) -> Callable[[Machine], None]:
    """A benchmark that needs no system: its `rows()` gives (name, value, …)."""

    def run(_: Machine) -> None:
        rows: Iterator[tuple[str, ...]] = importlib.import_module(f"benchmarks.{module}").rows()
        for name, *values in rows:
            row(name, *values)

    return run


PARTS: dict[str, Callable[[Machine], None]] = {
    "start": start,
    "idle": idle,
    "pods": pods,
    "api": api,
    "watch": watch,
    "watches": idle_watches,
    "storage": part("storage"),
    "sandbox": part("sandbox"),
    "service": part("service_path"),
    "scheduling": part("scheduling"),
    "latency": part("latency"),
    "scale": part("scale"),
    "large": part("scale_workloads"),
    "cel": part("cel"),
    "custom": part("custom_resources"),
    "growth": part("growth"),
    "proc": part("proc"),
    "many": part("proc_many"),
    "shop": shop,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    machine = Machine()
    try:
        if "start" not in (names or PARTS):
            machine.up()
        for name in names or PARTS:
            print(f"\n{name}")
            PARTS[name](machine)
    finally:
        machine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
