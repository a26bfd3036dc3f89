"""kubectl's typed commands prefer protobuf from 1.33 on: what its Go types make of our answers, watches too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from client_world import eventually, namespace_of
from control_plane_process import ControlPlane
from kubectl_tool import PROGRAMS

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif("1.33" not in PROGRAMS, reason="needs kubectl 1.33"),
]


def test_typed_commands_and_a_watch(plane: ControlPlane, tmp_path: Path) -> None:
    with namespace_of(plane, "typed") as namespace:
        options = ["--kubeconfig", str(plane.kubeconfig), "--cache-dir", str(tmp_path), "-n", namespace, "-v=8"]
        command = [PROGRAMS["1.33"], *options]
        seen, log = tmp_path / "seen", tmp_path / "log"
        with seen.open("wb") as out, log.open("wb") as err:
            watching = subprocess.Popen([*command, "events", "--watch"], stdout=out, stderr=err)
        try:
            eventually(lambda: b"protobuf;stream=watch" in log.read_bytes())
            made = subprocess.run(
                [*command, "create", "deployment", "web", "--image=i"], capture_output=True, text=True, check=True
            )
            assert "Content-Type: application/vnd.kubernetes.protobuf" in made.stderr
            eventually(lambda: b"ScalingReplicaSet" in seen.read_bytes())
            described = subprocess.run(
                [*command, "describe", "deployment", "web"], capture_output=True, text=True, check=True
            )
            assert "Image:" in described.stdout
        finally:
            watching.terminate()
            watching.wait()
