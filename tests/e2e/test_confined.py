"""Tier proc where nothing else runs: in an ordinary container, as its root and as its user, and where nothing at all is allowed.

Tests run in the container: by default what fits a minute, with WHERRY_TEST_CONFINED=all everything that starts pods.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import installation
import pytest
from confinement import Confinement
from wherry_system import free_port

from wherry.testing.launcher_process import ORDINARY_USER, ensure_user, is_root_of_machine

ALL = os.environ.get("WHERRY_TEST_CONFINED") == "all"
TREE = Path(__file__).parents[2]
ROOT, USER = Confinement(), Confinement(ORDINARY_USER)
NOTHING = replace(USER, capabilities=False, new_privileges=False, user_namespaces=False)
CONTAINERS = {"root": ROOT, "user": USER, "nothing": NOTHING}
EXTREMES = [name for name in CONTAINERS if ALL or name != "user"]
SECONDS = 1800 if ALL else 280

pytestmark = [
    pytest.mark.timeout(SECONDS + 20),
    pytest.mark.skipif(not is_root_of_machine(), reason="a container like Docker's is made by root"),
]
SYSTEM = [
    "tests/e2e/test_network.py::test_services_by_every_name",
    "tests/e2e/test_network.py::test_node_ports_from_the_machine_and_from_pods",
    "tests/e2e/test_network.py::test_udp_services",
    "tests/e2e/test_pod_config.py::test_changed_config_maps_and_secrets_appear_in_running_containers",
    "tests/e2e/test_python_client.py::test_in_a_pod",
    "tests/e2e/test_real_programs.py::test_two_of_a_program_side_by_side[proc-nginx]",
]
ELSEWHERE = ["--deselect", "tests/e2e/test_what_tiers_honour.py"]
"""Compares the machine with docs/tiers.md, which `make tiers` writes where every tier is."""
FORBIDDEN = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(number, *arguments):
    return errno.errorcode[ctypes.get_errno()] if libc.syscall(number, *arguments) < 0 else "allowed"
def opened(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
print({
    "unshare": refused(272, 0x10000000), "mount": refused(165, b"none", b"/mnt", b"tmpfs", 0, 0),
    "pidfd_getfd": refused(438, os.pidfd_open(os.getpid()), 0, 0), "clone3": refused(435, 0, 0),
    "clone": refused(56, 0x10000011, 0), "io_uring": refused(425, 1, 0), "keyctl": refused(250, 0, -3, 0),
    "personality": refused(135, 0x40000), "newer": refused(9999), "ptrace": refused(101, 0),
    "/proc/sys": opened("/proc/sys/kernel/hostname"), "/proc/1": os.readlink("/proc/self"),
    "user": os.getuid(), "effective": status["CapEff"], "bounding": status["CapBnd"], "privileges": status["NoNewPrivs"],
    "namespaces": open("/proc/sys/user/max_user_namespaces").read().strip(), "memory": os.statvfs("/dev/shm").f_blocks * 4,
    "interfaces": [name for _, name in socket.if_nameindex()],
})
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """What everybody may read of it: the tests, and a python that has what they need."""
    if reason := installation.unavailable():
        pytest.skip(reason)
    ensure_user(ORDINARY_USER)
    folder = Path(tempfile.mkdtemp(prefix="wherry-confined-"))
    folder.chmod(0o755)
    try:
        installation.install(
            folder / "python", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis"
        )
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("tests", "examples"):
            shutil.copytree(TREE / name, folder / name, ignore=ignored)
        shutil.copy(TREE / "pyproject.toml", folder)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=CONTAINERS)
def container(request: pytest.FixtureRequest) -> Confinement:
    return CONTAINERS[request.param]


def inside(container: Confinement, folder: Path, *arguments: str) -> str:
    """What the python of the container says. Its exit code must be 0."""
    done = subprocess.run(
        [*container.arguments(), str(folder / "python/bin/python"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WHERRY_TEST_TIERS": "proc",
        },
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def pytest_inside(container: Confinement, folder: Path, *arguments: str) -> str:
    return inside(container, folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


def test_the_container_is_as_docker_makes_it(container: Confinement, folder: Path) -> None:
    found = eval(inside(container, folder, "-c", FORBIDDEN))
    expected = {
        "unshare": "EPERM", "mount": "EPERM", "pidfd_getfd": "EPERM", "clone3": "ENOSYS", "clone": "EPERM",
        "io_uring": "EPERM", "keyctl": "EPERM", "personality": "EPERM", "newer": "ENOSYS", "ptrace": "allowed",
        "/proc/sys": "EROFS", "memory": 65536, "interfaces": ["lo", "eth0"],
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert int(found["/proc/1"]) < 10
    assert (found["user"] == 0) == (container is ROOT)
    assert found["effective"] == ("00000000a80425fb" if container is ROOT else 16 * "0")
    assert found["bounding"] == (16 * "0" if container is NOTHING else "00000000a80425fb")
    assert (found["privileges"], found["namespaces"] == "0") == (("1", True) if container is NOTHING else ("0", False))


def test_doctor_chooses_proc_and_says_what_is_lost(container: Confinement, folder: Path) -> None:
    report = json.loads(inside(container, folder, "-m", "wherry", "doctor", "-o", "json", "--state-dir", "/tmp/none"))
    assert report["chosen"] == "proc"
    user, proc = ({check["name"]: check for check in tier["checks"]} for tier in report["tiers"][1:])
    assert "seccomp profile" in user["user namespace"]["detail"]
    assert "pidfd_getfd" in proc["descriptors of processes"]["detail"]
    assert [name for name, check in proc.items() if check["essential"] and not check["ok"]] == []


@pytest.mark.parametrize("container", ["user"], indirect=True)
def test_doctor_names_the_setting(container: Confinement, folder: Path) -> None:
    allowed = replace(container, filtered=False, user_namespaces=False)
    report = json.loads(inside(allowed, folder, "-m", "wherry", "doctor", "-o", "json", "--state-dir", "/tmp/none"))
    assert report["chosen"] == "proc"
    assert "user.max_user_namespaces" in report["tiers"][1]["checks"][0]["detail"]


@pytest.mark.parametrize("container", EXTREMES, indirect=True)
def test_pods_run(container: Confinement, folder: Path) -> None:
    """The contract of container runtimes, a pod's network, files and end."""
    where = [
        "tests/contracts/test_cri.py",
        "tests/integration/test_proc_pods.py",
        "tests/integration/test_proc_datagrams.py",
    ]
    if ALL:
        where += [
            f"tests/integration/test_{name}.py"
            for name in ("build", "proc_tricks", "proc_owners", "proc_faults", "proc_honesty")
        ]
    chosen = "TestPlain or test_proc or (test_build and proc)" if ALL else "(TestPlain or test_proc) and not exact"
    assert " passed" in pytest_inside(container, folder, *where, "-k", chosen)


@pytest.mark.parametrize("container", EXTREMES, indirect=True)
def test_a_system_runs(container: Confinement, folder: Path) -> None:
    """Names, Services, node ports, UDP, ConfigMaps and the official client in a pod: of all of them, one test."""
    if ALL:  # packages of the shop come by the machine's network
        container = replace(container, host_network=True)
    assert " passed" in pytest_inside(container, folder, *(["tests/e2e", *ELSEWHERE] if ALL else SYSTEM))


@pytest.mark.skipif(not ALL, reason="three minutes in each: WHERRY_TEST_CONFINED=all")
def test_the_demonstration_runs(container: Confinement, folder: Path) -> None:
    """What `make demo` does; packages come by the machine's network."""
    where = ["--state-dir", "/tmp/demonstration", "--name", "demonstration", "--port", str(free_port())]
    said = inside(replace(container, host_network=True), folder, "examples/shop/demo.py", *where)
    assert "every page says v2 now: True" in said
    assert ", 0 failed" in said
