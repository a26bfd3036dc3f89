"""SPDY/3.1 and channel framing, both ends against each other."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.kubelet.streaming import spdy
from wherry.kubelet.streaming.channels import (
    PROTOCOLS,
    STDERR,
    STDIN,
    STDOUT,
    ChannelError,
    Framing,
    Input,
    InputClosed,
    Resized,
    exit_status,
)
from wherry.kubelet.streaming.spdy_dictionary import DICTIONARY


class Pair:
    """A client and a server with a wire between them that cuts bytes as it likes."""

    def __init__(self, cut: int = 7) -> None:
        self.client, self.server = spdy.Session(client=True), spdy.Session()
        self._cut = cut

    def _carry(self, sender: spdy.Session, receiver: spdy.Session) -> list[spdy.Event]:
        data, events = sender.data_to_send(), []
        for start in range(0, len(data), self._cut):
            events += receiver.receive(data[start : start + self._cut])
        return events

    def to_server(self) -> list[spdy.Event]:
        return self._carry(self.client, self.server)

    def to_client(self) -> list[spdy.Event]:
        return self._carry(self.server, self.client)


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_streams_open_with_headers_and_carry_data_both_ways() -> None:
    pair = Pair()
    first = pair.client.open_stream({"streamType": "error", "port": "80"}, fin=True)
    second = pair.client.open_stream({"streamType": "data", "port": "80"})
    pair.client.send(second, b"GET /")
    assert pair.to_server() == [
        spdy.StreamOpened(first, {"streamtype": "error", "port": "80"}, True),
        spdy.StreamOpened(second, {"streamtype": "data", "port": "80"}, False),
        spdy.DataReceived(second, b"GET /", False),
    ]
    pair.server.reply(second)
    pair.server.send(second, b"x" * 70_000, fin=True)
    reply, *data = pair.to_client()
    assert reply == spdy.ReplyReceived(second, False)
    assert [each.fin for each in data if isinstance(each, spdy.DataReceived)] == [False, False, True]
    assert sum(len(each.data) for each in data if isinstance(each, spdy.DataReceived)) == 70_000


def test_resets_pings_and_leaving() -> None:
    pair = Pair()
    stream = pair.client.open_stream({})
    pair.client.reset(stream, 5)
    pair.client.go_away()
    assert pair.to_server() == [
        spdy.StreamOpened(stream, {}, False),
        spdy.StreamReset(stream, 5),
        spdy.GoneAway(),
    ]
    ping = bytes.fromhex("80030006 00000004 00000001".replace(" ", ""))
    pair.server.receive(ping)
    assert pair.server.data_to_send() == ping


@pytest.mark.parametrize(
    "wire",
    [
        "80020001 0000000a 00000001000000000000",  # version 2
        "80030001 0000000e 0000000100000000000000000000",  # headers that do not decompress
        "80030003 00000002 0000",  # too short
        "00000001 00ffffff",  # too long a frame
    ],
)
def test_what_is_no_spdy_is_refused(wire: str) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Session().receive(bytes.fromhex(wire.replace(" ", "")))


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8), st.integers(1, 64))
def test_any_cutting_of_the_wire_gives_the_same_bytes(pieces: list[tuple[bytes, bool]], cut: int) -> None:
    pair = Pair(cut)
    streams = [pair.client.open_stream({"n": str(number)}) for number in range(len(pieces))]
    for stream, (data, fin) in zip(streams, pieces, strict=True):
        pair.client.send(stream, data, fin=fin)
    received = dict.fromkeys(streams, b"")
    for event in pair.to_server():
        if isinstance(event, spdy.DataReceived):
            received[event.stream] += event.data
    assert [received[stream] for stream in streams] == [data for data, _ in pieces]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_channels_round_trip(protocol: str) -> None:
    framing = Framing(protocol)
    for channel in (STDIN, STDOUT, STDERR):
        assert framing.split(framing.encode(channel, b"\x00\xffdata")) == (channel, b"\x00\xffdata")
    assert framing.receive(framing.encode(STDIN, b"x")) == Input(b"x")
    assert framing.receive(framing.encode(STDIN, b"")) is None
    assert framing.receive(framing.encode(4, b'{"Width":80,"Height":24}')) == Resized(80, 24)
    with pytest.raises(ChannelError):
        framing.receive(framing.encode(STDOUT, b"x"))


def test_only_v5_can_close_a_channel() -> None:
    assert Framing("v5.channel.k8s.io").receive(b"\xff\x00") == InputClosed()
    with pytest.raises(ChannelError):
        Framing("v4.channel.k8s.io").receive(b"\xff\x00")


def test_exit_codes_as_status() -> None:
    assert exit_status(0)["status"] == "Success"
    status = exit_status(3)
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
