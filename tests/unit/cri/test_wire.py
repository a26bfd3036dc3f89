"""Configurations survive the way to the launcher and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wherry.cri import wire
from wherry.cri.interface import ContainerConfig, Mount, Resources, RuntimeFailure, SandboxConfig
from wherry.cri.service import signal_number
from wherry.images.rootfs import RootFS


def test_a_sandbox() -> None:
    config = SandboxConfig(
        "u", "n", "ns", "h", "10.244.0.2", Path("/l"), Path("/d"), 2, False, True, True, {"a.b": "1"},
        Resources(1, 2, 3, 4), {"x": "y"}, {Path("/m"): 5, Path("/n"): None},
    )  # fmt: skip
    assert wire.sandbox_config(json.loads(json.dumps(wire.sandbox_spec(config)))) == config


def test_a_container() -> None:
    config = ContainerConfig(
        "c", ("a", "b"), RootFS((Path("/1"), Path("/2")), True), "i", "sha256:1", {"A": "b"}, "/w",
        (Mount(Path("/s"), "/t", True, "HostToContainer"),), 1, 2, (3, 4), True, True, True, ("A",), ("B",), True, True,
        True, Resources(1), 5, "c/5.log", -3, {"l": "m"},
    )  # fmt: skip
    assert wire.container_config(json.loads(json.dumps(wire.container_spec(config)))) == config


def test_signals_as_images_name_them() -> None:
    assert [signal_number(name) for name in ("SIGTERM", "int", "9", "SIGRTMIN+3")] == [15, 2, 9, 37]
    with pytest.raises(RuntimeFailure, match="unknown signal 'SIGNAL'"):
        signal_number("SIGNAL")
