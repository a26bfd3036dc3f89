"""Which tier this machine can run, found out by really trying each step in a forked child, with the reason for failures.

AppArmor may allow the namespaces and forbid the mounts, seccomp the other way round, so nothing is concluded from
versions or settings. A tier is usable when every essential step works; the others say what is lost without them. Nothing
remains of a probe. `wherry doctor` prints the report; `choose` is what `wherry up` obeys.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from wherry.launcher import cgroups, mounts, protocol, rtnetlink, syscalls, usermap
from wherry.launcher.hints import explain
from wherry.launcher.loop import after_fork
from wherry.launcher.options import NS_ROOT, NS_USER, PROC
from wherry.launcher.overlays import OPAQUE, overlay
from wherry.launcher.syscalls import SyscallError

TIERS = (NS_ROOT, NS_USER, PROC)


@dataclass(frozen=True, slots=True)
class Check:
    """One step. `detail` is why it failed and what to try; when it is not `essential`, also what is lost."""

    name: str
    ok: bool
    essential: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    checks: tuple[Check, ...] = ()

    @property
    def usable(self) -> bool:
        return all(check.ok for check in self.checks if check.essential)

    @property
    def reason(self) -> str:
        """Why it cannot be used; empty if it can."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.checks if check.essential and not check.ok)


@dataclass(frozen=True, slots=True)
class Report:
    tiers: tuple[Tier, ...] = field(default_factory=tuple)

    @property
    def chosen(self) -> str | None:
        """The first usable one, in the order of preference."""
        return next((tier.name for tier in self.tiers if tier.usable), None)


def detect(directory: str) -> Report:
    """Try all tiers. `directory`, or the nearest parent that exists, is where writable layers will lie."""
    return Report(tuple(_tried(TIERS, directory)))


def _tried(tiers: Iterable[str], directory: str) -> Iterator[Tier]:
    """One after the other, each when it is asked for."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(os.path.abspath(directory))
    return (_try(tier, directory) for tier in tiers)


def choose(directory: str, wanted: str | None = None) -> str:
    """The tier to run: the `wanted` one if it is usable, else the best. Raises LauncherError that says why none is.

    Those after it are not tried: a try takes 20 to 100 ms, most of them in the kernel, and every `wherry up` waits for it.
    """
    if wanted is not None and wanted not in TIERS:
        raise protocol.LauncherError("InvalidArgument", f"unknown tier {wanted!r}: one of {', '.join(TIERS)}")
    refused: list[Tier] = []
    for tier in _tried(TIERS if wanted is None else (wanted,), directory):
        if tier.usable:
            return tier.name
        refused.append(tier)
    if wanted is not None:
        raise protocol.LauncherError("Unsupported", f"tier {wanted} cannot be used here: {refused[0].reason}")
    reasons = "\n".join(f"  {tier.name}: {tier.reason}" for tier in refused)
    raise protocol.LauncherError("Unsupported", f"no tier can be used on this machine:\n{reasons}")


def _try(tier: str, directory: str) -> Tier:
    if tier == NS_ROOT and os.geteuid() != 0:
        return Tier(tier, (Check("root", ok=False, detail="needs user 0"),))
    scratch = tempfile.mkdtemp(prefix=".wherry-probe-", dir=directory)
    read, write = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _child(tier, scratch, write)
        os.close(write)
        with os.fdopen(read, "rb") as lines:
            checks = [Check(**json.loads(line)) for line in lines]
        os.waitpid(pid, 0)
    finally:
        for path, folders, _ in os.walk(scratch):
            for name in folders:
                os.chmod(os.path.join(path, name), 0o700)  # overlayfs leaves one of mode 000
        shutil.rmtree(scratch, ignore_errors=True)
    return Tier(tier, tuple(checks) or (Check("probe", ok=False, detail="it was killed"),))


def _child(tier: str, scratch: str, report: int) -> None:
    try:
        after_fork()
        for check in _checks(tier, scratch):
            os.write(report, json.dumps({name: getattr(check, name) for name in Check.__slots__}).encode() + b"\n")
            if check.essential and not check.ok:
                break
    except BaseException as error:  # noqa: BLE001 -- a fork must not run its parent's code; our bug shows in the report
        os.write(
            report, json.dumps({"name": "probe", "ok": False, "detail": f"{type(error).__name__}: {error}"}).encode()
        )
    finally:
        os._exit(0)


def _checks(tier: str, scratch: str) -> Iterator[Check]:
    if tier == PROC:
        yield from _proc_checks()
        return
    if tier == NS_USER:
        found = usermap.find()
        yield _attempt("user namespace", lambda: usermap.enter(found))
        yield Check(
            "several users",
            found.many,
            essential=False,
            detail=found.reason and f"{found.reason}; every pod runs as one user",
        )
    yield _attempt(
        "namespaces", lambda: syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET)
    )
    yield _attempt("mount", lambda: _mount(scratch))
    yield _attempt("overlay", lambda: _overlay(scratch))
    yield _attempt("fresh /proc", _fresh_proc, lost="pods then see the machine's processes in /proc")
    yield _attempt(
        "fresh /sys", lambda: os.close(mounts.new_filesystem("sysfs")), lost="pods then see the machine's /sys"
    )
    yield _attempt("veth", _veth)
    yield _attempt("nf_tables", _nftables, lost="Service addresses do not work")
    groups = cgroups.find(f"wherry-probe-{os.getpid()}")
    for base in groups.directories:
        os.rmdir(base)
    lost = f"{groups.reason}; CPU and memory limits are not enforced" if groups.reason else ""
    yield Check("cgroups", not groups.reason, essential=False, detail=lost)


def _proc_checks() -> Iterator[Check]:
    """The kernel keeps nothing apart there; what is lost is said whatever the machine allows."""
    from wherry.launcher.proc import probe

    yield _attempt("notifications", probe.notifications)
    yield _attempt("memory of processes", probe.memory)
    yield _attempt("descriptors of processes", probe.descriptors, lost=probe.NO_DESCRIPTORS)
    yield _attempt("tracing", probe.tracing, lost="chdir into volumes and files of images fails")
    yield _attempt("Landlock", probe.landlocked, lost=probe.NO_LANDLOCK)
    yield _attempt("scopes", probe.scoped, lost=probe.NO_SCOPES)
    yield Check("isolation", ok=False, essential=False, detail=probe.LOST)


def _attempt(name: str, step: Callable[[], object], *, lost: str = "") -> Check:
    try:
        step()
    except SyscallError as error:
        text = explain(error)
    except OSError as error:
        text = str(error)
    else:
        return Check(name, ok=True, essential=not lost)
    return Check(name, ok=False, essential=not lost, detail=f"{text}; {lost}" if lost else text)


def _mount(scratch: str) -> None:
    mounts.make_slave("/")
    target = f"{scratch}/tmpfs"
    os.mkdir(target)
    mounts.mount("tmpfs", target, "tmpfs")
    mounts.unmount(target)
    os.close(mounts.open_tree("/dev/null", recursive=False))


def _overlay(scratch: str) -> None:
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{scratch}/{name}")
    try:
        os.setxattr(f"{scratch}/lower", OPAQUE, b"y")
    except OSError as error:
        raise SyscallError(error.errno or 0, "setxattr", f"{OPAQUE} in {os.path.dirname(scratch)}") from error
    overlay(f"{scratch}/merged", [f"{scratch}/lower"], f"{scratch}/upper", f"{scratch}/work")
    with open(f"{scratch}/merged/file", "w") as file:
        file.write("written")
    mounts.unmount(f"{scratch}/merged")


def _fresh_proc() -> None:
    """Only a process inside the new pid namespace can ask."""
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            os.close(mounts.new_filesystem("proc"))
        except OSError as error:
            number = error.errno or 1
        finally:
            os._exit(number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise SyscallError(code, "mount", "proc")


def _veth() -> None:
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with rtnetlink.Netlink() as netlink:
            netlink.transact([rtnetlink.veth(100, "probe0", 101, "probe1", here)])
    finally:
        os.close(here)


NETLINK_NETFILTER = 12  # linux/netlink.h
# linux/netfilter/nfnetlink.h, nf_tables.h
_NFNL_BATCH_BEGIN, _NFNL_BATCH_END, _NFT_NEWTABLE = 16, 17, 10 << 8
_NFTA_TABLE_NAME, _AF_INET, _SUBSYS_NFTABLES = 1, 2, 10


def _nftables() -> None:
    """Add a table, the smallest transaction there is."""
    acknowledged = rtnetlink.NLM_F_REQUEST | rtnetlink.NLM_F_ACK
    table = struct.pack("=BBH", _AF_INET, 0, 0) + rtnetlink.attribute(_NFTA_TABLE_NAME, b"probe\0")
    batch = b""
    for kind, flags, body in (
        (_NFNL_BATCH_BEGIN, rtnetlink.NLM_F_REQUEST, struct.pack(">BBH", 0, 0, _SUBSYS_NFTABLES)),
        (_NFT_NEWTABLE, acknowledged | rtnetlink.NLM_F_CREATE, table),
        (_NFNL_BATCH_END, rtnetlink.NLM_F_REQUEST, struct.pack(">BBH", 0, 0, _SUBSYS_NFTABLES)),
    ):
        batch += struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
    with rtnetlink.raw_socket(NETLINK_NETFILTER) as sock:
        replies = rtnetlink.transact_raw(sock, batch)
    for _, body in rtnetlink.messages(replies):
        code = -struct.unpack_from("=i", body)[0]
        if code:
            raise SyscallError(code, "nf_tables", "add table")
