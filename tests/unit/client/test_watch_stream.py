from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client.watch_stream import LINE_BYTES_MAX, WatchStream, WatchStreamError

EVENTS = [
    {"type": "ADDED", "object": {"metadata": {"name": f"pod-{i}", "labels": {"text": "é\n" * i}}}} for i in range(5)
]
WIRE = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)


@given(st.lists(st.integers(0, len(WIRE)), max_size=12))
def test_pieces_of_any_size_give_the_same_events(cuts: list[int]) -> None:
    stream = WatchStream()
    edges = [0, *sorted(cuts), len(WIRE)]
    events = [event for i in range(len(edges) - 1) for event in stream.feed(WIRE[edges[i] : edges[i + 1]])]
    stream.finish()
    assert events == EVENTS


def test_empty_lines_are_nothing() -> None:
    stream = WatchStream()
    assert stream.feed(b"\r\n\n  \n") == []
    stream.finish()


def test_a_stream_that_breaks_off_says_so() -> None:
    stream = WatchStream()
    assert stream.feed(WIRE[:-20]) == EVENTS[:-1]
    with pytest.raises(WatchStreamError, match="broke off"):
        stream.finish()


@pytest.mark.parametrize("line", [b"<html>\n", b"[1]\n", b'{"type": \n'])
def test_something_else_is_refused(line: bytes) -> None:
    with pytest.raises(WatchStreamError, match="not a watch event"):
        WatchStream().feed(line)


def test_a_line_without_end_is_refused() -> None:
    stream = WatchStream()
    piece = b"x" * (1 << 20)
    for _ in range(LINE_BYTES_MAX // len(piece)):
        stream.feed(piece)
    with pytest.raises(WatchStreamError, match="more than"):
        stream.feed(piece)
