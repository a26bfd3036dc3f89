"""`wherry.testing.system.System`, what the pytest fixture `system` gives: real pods, and nothing left afterwards."""

from __future__ import annotations

import pytest

from wherry.testing.system import System, unavailable


def test_a_real_pod_runs_and_nothing_is_left() -> None:
    if reason := unavailable():
        pytest.skip(reason)
    container = {"name": "main", "image": "wherry.dev/host", "command": ["sh", "-c", "echo hello"]}
    with System() as system:
        system.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p"},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            }
        )
        system.wait_for("pod", "p", "jsonpath={.status.phase}=Succeeded", timeout="60s")
        assert system.logs("p") == "hello\n"
        assert system.events("pod", "p")[0]["reason"] == "Scheduled"
    assert not system.folder.exists()
