"""A fault of the network is waited for: renewed until it is made, told again, given up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from wherry.network import fault_asking
from wherry.network.fault_asking import FOLLOW_SECONDS, MADE_SECONDS, NotMade, wait_made
from wherry.network.netd_control import Answer

NETD = Path("/nowhere/netd.sock")


class Netd:
    """Makes `fault` once it has heard so many words; away after the first."""

    def __init__(self, words: float, refused: dict[str, str] | None = None) -> None:
        self.heard = 0
        self._words = words
        self._refused = refused or {}

    def __call__(self, path: Path, op: str) -> Answer:
        self.heard += op == "faults"
        if self.heard == 1:
            raise ConnectionRefusedError  # it is just being restarted
        return Answer(True, made=("fault",) if self.heard >= self._words else (), refused=self._refused)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    monkeypatch.setattr(fault_asking, "LOOK_SECONDS", 0)
    return count(0.0, FOLLOW_SECONDS)


def test_it_is_renewed_and_netd_told_until_it_is_made(monkeypatch: pytest.MonkeyPatch, ticks: Iterator[float]) -> None:
    """Longer than a word of ours keeps netd looking, and than the fault would hold."""
    netd, renewed = Netd(words=40), []
    monkeypatch.setattr(fault_asking, "ask_netd", netd)
    wait_made(NETD, "fault", lambda: renewed.append(netd.heard), lambda: next(ticks))
    assert renewed == list(range(40))


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch, ticks: Iterator[float]) -> None:
    netd = Netd(words=float("inf"))
    monkeypatch.setattr(fault_asking, "ask_netd", netd)
    with pytest.raises(NotMade, match="within 15s"):
        wait_made(NETD, "fault", lambda: None, lambda: next(ticks))
    assert netd.heard == MADE_SECONDS / FOLLOW_SECONDS


def test_netds_own_no_is_the_answer(monkeypatch: pytest.MonkeyPatch, ticks: Iterator[float]) -> None:
    monkeypatch.setattr(fault_asking, "ask_netd", Netd(words=2, refused={"fault": "there are no packets"}))
    with pytest.raises(NotMade, match=r"^there are no packets$"):
        wait_made(NETD, "fault", lambda: None, lambda: next(ticks))
