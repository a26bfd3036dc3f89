"""Nodes that pretend, in virtual time: nobody can tell that their heartbeats are reckoned, and whoever falls silent is missed."""

from __future__ import annotations

from datetime import datetime, timedelta

import wherry

OFF = {"metadata": {"annotations": {"simulation.wherry.dev/heartbeat": "off"}}}
ON = {"metadata": {"annotations": {"simulation.wherry.dev/heartbeat": None}}}
NODE = "simulated-0"


def _renewed(cp: wherry.ControlPlane, name: str = NODE) -> datetime:
    lease = cp.get("lease", name, "kube-node-lease")
    return datetime.fromisoformat(lease["spec"]["renewTime"])


def _ready(cp: wherry.ControlPlane) -> str:
    return next(one["status"] for one in cp.get("node", NODE)["status"]["conditions"] if one["type"] == "Ready")


def test_whenever_somebody_looks_a_lease_is_as_old_as_it_should_be() -> None:
    with wherry.ControlPlane(nodes=3) as cp:
        seen = set()
        for step in ("10s", "1m", "30s", "6h", "365d", "7s"):
            cp.clock.advance(step)
            for number in range(3):
                renewed = _renewed(cp, f"simulated-{number}")
                assert timedelta(0) <= cp.clock.now - renewed <= timedelta(seconds=30), (step, number)
                if step != "10s":
                    seen.add((number, round(renewed.timestamp() % 30, 3)))
        assert len(seen) == 3, "each keeps its rhythm"


def test_a_year_in_which_nothing_happens_costs_next_to_nothing() -> None:
    with wherry.ControlPlane(nodes=2) as cp:
        cp.clock.advance("2h")  # the events of the start are gone
        before = cp._engine.plane.storage.revision
        cp.clock.advance("365d")
        assert cp._engine.plane.storage.revision - before == 2, "one lease each"


def test_a_node_that_falls_silent_is_missed_forty_seconds_after_its_last_heartbeat() -> None:
    with wherry.ControlPlane() as cp:
        cp.clock.advance("30d")
        cp.clock.advance("17s")
        last = _renewed(cp)
        cp.patch("node", NODE, OFF)
        cp.wait_for("node", NODE, "Ready=Unknown", timeout="1m")
        assert (cp.clock.now - last).total_seconds() == 40.0
        assert _renewed(cp) == last
        cp.clock.advance("1h")
        assert _renewed(cp) == last, "it stays silent"
        cp.patch("node", NODE, ON)
        cp.wait_for("node", NODE, "Ready", timeout="1s")
        cp.wait_for("node", NODE, lambda node: not node["spec"].get("taints"), timeout="1s")
        cp.clock.advance("1d")
        assert _ready(cp) == "True"


def test_who_fell_silent_is_missed_in_one_long_leap_too() -> None:
    with wherry.ControlPlane() as cp:
        cp.clock.advance("1d")
        cp.patch("node", NODE, OFF)
        cp.clock.advance("6h")
        assert _ready(cp) == "Unknown"


def test_a_node_that_somebody_calls_unready_says_otherwise_with_its_next_heartbeat() -> None:
    with wherry.ControlPlane() as cp:
        cp.clock.advance("1h")
        unready = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Said", "message": "m"}]}}
        cp.patch("node", NODE, unready, type="strategic", subresource="status")
        assert _ready(cp) == "False"
        began = cp.clock.now
        cp.wait_for("node", NODE, "Ready", timeout="1m")
        assert (cp.clock.now - began).total_seconds() <= 30
