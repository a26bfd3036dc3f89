"""What is left of the node's memory and of the file system its pods lie on, as the kernel says it. A few system calls.

A fault made on purpose (`injected`) lowers what was read. What pods have given back since it began is added to it, as if
somebody outside of all pods had taken the rest: so evictions help, as they do against the real thing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from wherry.kubelet import node_facts
from wherry.kubelet.eviction.thresholds import DISK, INODES, MEMORY, Reading


def read(directory: Path, memory_bytes: int) -> dict[str, Reading]:
    """By signal. `directory`: one on the node's file system, there or not; `memory_bytes`: all that the node has. A file
    system that makes inodes as they are needed (btrfs) has no reading of them."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    disk = os.statvfs(directory)
    found = {
        MEMORY: Reading(node_facts.memory_available_bytes(), memory_bytes),
        DISK: Reading(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
    }
    if disk.f_files:
        found[INODES] = Reading(disk.f_favail, disk.f_files)
    return found


def lowered(
    readings: Mapping[str, Reading], injected: Mapping[str, int], given_back: Mapping[str, int]
) -> dict[str, Reading]:
    """`given_back`: by signal, what pods use less than when the fault began; below zero when they use more."""
    found = dict(readings)
    for signal, available in injected.items():
        if (real := readings.get(signal)) is not None:
            left = max(available + given_back.get(signal, 0), 0)
            found[signal] = Reading(min(left, real.available), real.capacity)
    return found
