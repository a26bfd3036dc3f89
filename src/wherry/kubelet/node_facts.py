"""What the machine has: CPUs, memory, disk, kernel. Read once at start; the sizes may be set by the node's options."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts


def read_facts(config: NodeConfig) -> NodeFacts:
    storage = config.pods_directory
    while not storage.exists() and storage != storage.parent:
        storage = storage.parent
    return NodeFacts(
        name=config.name,
        address=config.address,
        cpu_millis=config.cpu_millis or (os.cpu_count() or 1) * 1000,
        memory_bytes=config.memory_bytes or memory_total_bytes(),
        storage_bytes=shutil.disk_usage(storage).total,
    )


def memory_total_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_available_bytes() -> int:
    """MemAvailable of /proc/meminfo: what can be used without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return memory_total_bytes()


def os_image() -> str:
    """PRETTY_NAME of os-release, as kubelet reports it."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


def architecture() -> str:
    """Go's name of the machine's architecture."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def read_id(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
