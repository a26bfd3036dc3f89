"""What the launcher decides without the kernel: capabilities, limits, id ranges, programs of seccomp, netlink bytes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from wherry.launcher import cgroups, host_view, options, rtnetlink, seccomp, stats, usermap
from wherry.launcher.capabilities import DEFAULT, NAMES, choose, mask
from wherry.launcher.hints import explain
from wherry.launcher.protocol import LauncherError
from wherry.launcher.specs import ResourcesSpec
from wherry.launcher.syscalls import SyscallError


def test_the_default_capabilities_are_the_runtimes() -> None:
    assert mask(choose(privileged=False, drop=[], add=[])) == 0xA80425FB
    assert choose(privileged=True, drop=["ALL"], add=[]) == frozenset(NAMES)


@pytest.mark.parametrize(
    ("drop", "add", "expected"),
    [
        (["ALL"], [], frozenset()),
        (["ALL"], ["NET_BIND_SERVICE"], {"NET_BIND_SERVICE"}),
        (["CAP_CHOWN"], ["sys_time"], (DEFAULT - {"CHOWN"}) | {"SYS_TIME"}),
        (["SYS_ADMIN"], ["ALL"], set(NAMES) - {"SYS_ADMIN"}),
        (["CHOWN"], ["CHOWN"], DEFAULT),
    ],
)
def test_drop_and_add(drop: list[str], add: list[str], expected: set[str]) -> None:
    assert choose(privileged=False, drop=drop, add=add) == expected


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(LauncherError, match="unknown capability 'FLY'"):
        choose(privileged=False, drop=[], add=["CAP_FLY"])


def _resources(**given: int) -> ResourcesSpec:
    none: ResourcesSpec = {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None}
    return {**none, **given}  # type: ignore[typeddict-item]


def test_limits_are_kubelets_numbers() -> None:
    some = _resources(cpu_request=250, cpu_limit=500, memory_limit=1 << 20, pids_limit=7)
    assert dict(cgroups._settings_one(some)) == {
        "cpu.shares": "256",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "memory.limit_in_bytes": "1048576",
        "pids.max": "7",
    }
    assert dict(cgroups._settings_two(some)) == {
        "cpu.weight": "10",
        "cpu.max": "50000 100000",
        "memory.max": "1048576",
        "memory.oom.group": "1",
        "pids.max": "7",
    }
    assert dict(cgroups._settings_one(_resources())) == {"cpu.shares": "2"}
    assert dict(cgroups._settings_two(_resources(cpu_limit=1))) == {"cpu.weight": "1", "cpu.max": "1000 100000"}


def test_memory_is_joined_first() -> None:
    found = cgroups.Cgroups(1, (("cpu", "/a"), ("cpuacct", "/a"), ("memory", "/b"), ("pids", "/c")))
    assert found.directories == ["/b", "/a", "/c"]
    assert cgroups.Cgroups().directories == []


def test_a_range_of_subordinate_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4242)
    file = tmp_path / "subuid"
    file.write_text("other:1:65536\n4242:100:10\nbad line\n4242:200000:65536\n")
    assert usermap._range(str(file)) == (200000, 65535)
    file.write_text("4242:100:10\n")
    assert usermap._range(str(file)) is None
    assert usermap._range(str(tmp_path / "none")) is None


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_pretends_only_its_calls(machine: str) -> None:
    code = seccomp.program(machine)
    assert code is not None
    architecture, numbers = seccomp._PRETENDED[machine]
    run = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]

    def verdict(arch: int, number: int) -> int:
        at, value = 0, 0
        while True:
            operation, yes, no, constant = run[at]
            if operation == 0x20:
                value = {0: number, 4: arch}[constant]
                at += 1
            elif operation == 0x15:
                at += 1 + (yes if value == constant else no)
            else:
                return constant

    assert {verdict(architecture, number) for number in numbers} == {0x00050000}
    assert {verdict(architecture, number) for number in range(500) if number not in numbers} == {0x7FFF0000}
    assert verdict(1, numbers[0]) == 0x7FFF0000
    assert seccomp.program("riscv64") is None


def test_times_and_pages_of_a_process() -> None:
    fields = ["S", "1", *["0"] * 9, "3", "4", "5", "6", *["0"] * 6, "25", *["0"] * 20]
    text = f"7 (a) b) {' '.join(fields)}".encode()
    assert stats.parse_stat(text) == (18 * stats._TICK_NANOSECONDS, 25 * stats._PAGE_BYTES)
    assert stats.parse_stat(b"7 (a)") is None


def test_netlink_messages_are_aligned() -> None:
    for _, _, _, body in (
        rtnetlink.veth(100, "veth1234", 2, "eth0", 5),
        rtnetlink.address(2, "10.244.0.2"),
        rtnetlink.route(2, None, gateway="10.244.0.1"),
        rtnetlink.route(100, "10.244.0.2", source="10.244.0.1"),
        rtnetlink.address(2, "fd00::1"),
    ):
        assert len(body) % 4 == 0
    packed = struct.pack("=IHHII", 20, 2, 0, 1, 0) + struct.pack("=i", -17)
    assert rtnetlink.messages(packed * 2) == [(2, struct.pack("=i", -17))] * 2


def test_refusals_say_what_to_try() -> None:
    text = explain(SyscallError(1, "unshare", "CLONE_NEWUSER"))
    assert text.startswith("unshare(CLONE_NEWUSER): Operation not permitted (EPERM): ")
    assert "apparmor" in text
    assert explain(SyscallError(2, "chdir", "/x")) == "chdir(/x): No such file or directory (ENOENT)"


def test_options() -> None:
    given = options.parse(["--socket", "/s", "--tier", "ns-user", "--state", "/d", "--local-address", "10.96.0.1"])
    assert given == options.Options("/s", "ns-user", "/d", "10.244.0.1", ("10.96.0.1",))
    with pytest.raises(SystemExit):
        options.parse(["--socket", "/s", "--tier", "vm", "--state", "/d"])


def test_the_view_of_the_machine_hides_state_and_homes(tmp_path: Path) -> None:
    view = host_view.build(str(tmp_path), "/usr/share", "user.overlay.opaque")
    skeleton = Path(view.skeleton)
    tops = {path.split("/")[1] for path in view.parts}
    assert not {"root", "home", "run", "tmp", "proc", "sys", "dev"} & tops
    assert {"usr", "etc"} <= tops
    assert (skeleton / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (skeleton / "bin").is_symlink() == Path("/bin").is_symlink()
    assert os.getxattr(skeleton / "usr" / "share", "user.overlay.opaque") == b"y"
    assert all((skeleton / path.lstrip("/")).exists() for path in view.binds)
    assert (Path(view.image_skeleton) / "etc" / "hosts").is_file()
