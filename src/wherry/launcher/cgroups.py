"""Limits and accounting by control groups, versions 1 and 2, where this user may make groups.

Groups lie below our own group (so an outer limit still holds): <ours>/wherry-<name>/<sandbox>/<container>. What cannot be
enforced is known at once and said in `reason`; nothing is attempted and ignored later.

Joining is one write per hierarchy and may wait for a grace period of the kernel (up to 10 ms each under load): pod inits
do it for a child that is busy with its mounts meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from wherry.launcher.specs import ResourcesSpec

CPU_PERIOD_MICROSECONDS = 100_000  # kubelet's --cpu-cfs-quota-period
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """`bases` maps a controller to the directory our groups of it lie in; with version 2 all to the same one."""

    version: int = 0
    bases: tuple[tuple[str, str], ...] = ()
    reason: str = "not looked for"

    @property
    def directories(self) -> list[str]:
        """Each hierarchy's base once, memory first: it must hold before the first page of the container."""
        found = dict.fromkeys(path for controller, path in self.bases if controller == "memory")
        return list(found | dict.fromkeys(path for _, path in self.bases))

    def base(self, controller: str) -> str | None:
        return dict(self.bases).get(controller)

    def has(self, controller: str) -> bool:
        return any(name == controller for name, _ in self.bases)


def find(name: str) -> Cgroups:
    """What is writable, with the base groups made. Must run where the machine's mounts and own groups are visible."""
    mounts = _mounts()
    own = _own()
    one = _version_one(mounts, own, name)
    if one:
        missing = [controller for controller in ("cpu", "memory", "pids") if controller not in dict(one)]
        return Cgroups(1, tuple(one.items()), f"no writable cgroup for {', '.join(missing)}" if missing else "")
    unified = mounts.get("")
    if unified is None:
        return Cgroups(
            reason="no cgroup file system is mounted" if not mounts else "its cgroups are not writable for this user"
        )
    return _version_two(unified, own.get("", "/"), name)


def _mounts() -> dict[str, tuple[str, str]]:
    """Controller -> (mount point, its root within the hierarchy); version 2 has the name ''."""
    found: dict[str, tuple[str, str]] = {}
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.split(" ", 2)
            root, point = fields.split(" ")[3:5]
            if kind == "cgroup2":
                found.setdefault("", (point, root))
            elif kind == "cgroup":
                for option in options.strip().split(","):
                    if option in _CONTROLLERS:
                        found[option] = (point, root)
    return found


def _own() -> dict[str, str]:
    """Controller -> path of the group this process is in."""
    found: dict[str, str] = {}
    with open("/proc/self/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def _place(mount: tuple[str, str], own: str) -> str:
    point, root = mount
    inside = own[len(root) :] if root != "/" and own.startswith(root) else own
    return point + inside.rstrip("/")


def _version_one(mounts: dict[str, tuple[str, str]], own: dict[str, str], name: str) -> dict[str, str]:
    bases: dict[str, str] = {}
    for controller in _CONTROLLERS:
        if controller not in mounts:
            continue
        base = f"{_place(mounts[controller], own.get(controller, '/'))}/{name}"
        try:
            _renew(base)
        except OSError:
            continue
        bases[controller] = base
    return bases


def _version_two(mount: tuple[str, str], own: str, name: str) -> Cgroups:
    """The nearest group at or above ours that may have our own below it with controllers switched on."""
    at = own.rstrip("/")
    failure = "its cgroups are not writable for this user (start it by `systemd-run --user --scope -p Delegate=yes`)"
    while True:
        parent = _place(mount, at)
        if os.access(parent, os.W_OK) and os.access(f"{parent}/cgroup.procs", os.W_OK):
            try:
                wanted = _enable(parent)
                base = f"{parent}/{name}"
                _renew(base)
                _enable(base)
            except OSError as error:
                failure = f"{parent}: {error.strerror}"
            else:
                missing = [controller for controller in ("cpu", "memory", "pids") if controller not in wanted]
                reason = f"no cgroup controller for {', '.join(missing)}" if missing else ""
                return Cgroups(2, tuple((controller, base) for controller in (*wanted, "kill")), reason)
        if not at:
            return Cgroups(reason=failure)
        at = at.rpartition("/")[0]


def _enable(group: str) -> list[str]:
    """Switch on, for groups below, those of our controllers that exist; they."""
    with open(f"{group}/cgroup.controllers") as file:
        there: list[str] = [name for name in ("cpu", "memory", "pids") if name in file.read().split()]
    with open(f"{group}/cgroup.subtree_control") as file:
        already = file.read().split()
    for name in there:
        if name not in already:
            _write(f"{group}/cgroup.subtree_control", f"+{name}")
    return there


def _renew(base: str) -> None:
    """Make our base group; groups of a launcher that was killed are removed."""
    _clear(base)
    os.makedirs(base, exist_ok=True)


def remove_all(cgroups: Cgroups) -> None:
    """At the launcher's end, when nothing runs any more."""
    for base in cgroups.directories:
        _clear(base)


def _clear(base: str) -> None:
    for path, _, _ in os.walk(base, topdown=False):
        _remove(path)


def create(cgroups: Cgroups, path: str, resources: ResourcesSpec) -> None:
    """Make the group `path` (`<sandbox>` or `<sandbox>/<container>`) in each hierarchy and set its limits. Raises OSError."""
    for base in cgroups.directories:
        os.makedirs(f"{base}/{path}", exist_ok=True)
    if cgroups.version == 2:
        for name, value in _settings_two(resources):
            if cgroups.has(name.partition(".")[0]):
                _write(f"{cgroups.directories[0]}/{path}/{name}", value)
        if "/" not in path and len(cgroups.bases) > 1:
            _enable(f"{cgroups.directories[0]}/{path}")
    else:
        for name, value in _settings_one(resources):
            there = cgroups.base(name.partition(".")[0])
            if there is not None:
                _write(f"{there}/{path}/{name}", value)


def _settings_one(resources: ResourcesSpec) -> list[tuple[str, str]]:
    """kubelet's numbers: MilliCPUToShares (at least 2) and MilliCPUToQuota (at least 1 ms)."""
    settings = [("cpu.shares", str(max(2, (resources["cpu_request"] or 0) * 1024 // 1000)))]
    if resources["cpu_limit"]:
        settings.append(("cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS)))
        settings.append(("cpu.cfs_quota_us", str(_quota(resources["cpu_limit"]))))
    if resources["memory_limit"]:
        settings.append(("memory.limit_in_bytes", str(resources["memory_limit"])))
    if resources["pids_limit"]:
        settings.append(("pids.max", str(resources["pids_limit"])))
    return settings


def _settings_two(resources: ResourcesSpec) -> list[tuple[str, str]]:
    """As above; shares 2...262144 become weights 1...10000 by the runtimes' formula."""
    shares = min(max(2, (resources["cpu_request"] or 0) * 1024 // 1000), 262144)
    settings = [("cpu.weight", str(1 + (shares - 2) * 9999 // 262142))]
    if resources["cpu_limit"]:
        settings.append(("cpu.max", f"{_quota(resources['cpu_limit'])} {CPU_PERIOD_MICROSECONDS}"))
    if resources["memory_limit"]:
        settings += [("memory.max", str(resources["memory_limit"])), ("memory.oom.group", "1")]
    if resources["pids_limit"]:
        settings.append(("pids.max", str(resources["pids_limit"])))
    return settings


def _quota(milli: int) -> int:
    return max(1000, milli * CPU_PERIOD_MICROSECONDS // 1000)


def join(cgroups: Cgroups, path: str, pid: int) -> None:
    """Move a process of our own pid namespace into the group. Raises OSError."""
    for base in cgroups.directories:
        _write(f"{base}/{path}/cgroup.procs", str(pid))


def remove(cgroups: Cgroups, path: str) -> None:
    """Remove the group and those below it; one that is still busy stays until the next start."""
    for base in cgroups.directories:
        top = f"{base}/{path}"
        if not os.path.isdir(top):
            continue
        for below in os.listdir(top):
            if os.path.isdir(f"{top}/{below}"):
                _remove(f"{top}/{below}")
        _remove(top)


def oom_kills(cgroups: Cgroups, path: str) -> int:
    """How many processes of the group the kernel killed for want of memory."""
    base = cgroups.base("memory")
    if base is None:
        return 0
    name = "memory.events" if cgroups.version == 2 else "memory.oom_control"
    return _keyed(f"{base}/{path}/{name}").get("oom_kill", 0)


def usage(cgroups: Cgroups, path: str) -> tuple[int, int] | None:
    """(CPU nanoseconds, working set bytes) as cAdvisor counts them; None where the group cannot tell."""
    try:
        if cgroups.version == 2:
            base = cgroups.directories[0]
            cpu = _keyed(f"{base}/{path}/cpu.stat")["usage_usec"] * 1000
            used = _integer(f"{base}/{path}/memory.current")
            idle = _keyed(f"{base}/{path}/memory.stat").get("inactive_file", 0)
        else:
            cpu = _integer(f"{cgroups.base('cpuacct')}/{path}/cpuacct.usage")
            used = _integer(f"{cgroups.base('memory')}/{path}/memory.usage_in_bytes")
            idle = _keyed(f"{cgroups.base('memory')}/{path}/memory.stat").get("total_inactive_file", 0)
    except (OSError, KeyError, ValueError):
        return None
    return cpu, max(used - idle, 0)


def _integer(path: str) -> int:
    with open(path) as file:
        return int(file.read())


def _keyed(path: str) -> dict[str, int]:
    try:
        with open(path) as file:
            return {key: int(value) for key, value in (line.split() for line in file)}
    except (OSError, ValueError):
        return {}


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {text!r} to {path}: {os.strerror(error.errno or 0)}") from error
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:  # busy, or gone already
        pass
