from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.http1 import STREAMED_BYTES_MIN, Incoming, ProtocolError, RequestReader, answer_head, chunk

GET = b"GET /api/v1/pods?limit=5 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"PUT /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"


def read(data: bytes, limit: int = 100, cuts: list[int] | None = None) -> list[Incoming]:
    reader, found = RequestReader(limit), []
    edges = [0, *sorted(cuts or []), len(data)]
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
        while (incoming := reader.next()) is not None:
            found.append(incoming)
    return found


def test_a_request_without_a_body() -> None:
    (incoming,) = read(GET)
    head = incoming.head
    assert (head.method, head.path, head.query_string) == ("GET", "/api/v1/pods", "limit=5")
    assert head.headers == {"host": "a", "accept": "application/json"}
    assert head.keep_alive


@given(st.lists(st.integers(0, len(GET + POST + CHUNKED)), max_size=12))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    found = read(GET + POST + CHUNKED, cuts=cuts)
    assert [incoming.body for incoming in found] == [b"", b"hello", b"abcde"]
    assert [incoming.head.method for incoming in found] == ["GET", "POST", "PUT"]


def test_a_body_over_the_limit_is_told_at_once_and_skipped() -> None:
    reader = RequestReader(4)
    reader.feed(POST[:-3])
    incoming = reader.next()
    assert incoming is not None
    assert incoming.too_large
    assert incoming.body == b""
    assert not reader.is_idle
    reader.feed(POST[-3:] + GET)
    after = reader.next()
    assert after is not None
    assert after.head.method == "GET"
    assert reader.is_idle


def test_chunks_over_the_limit_end_the_connection() -> None:
    (incoming,) = read(CHUNKED, limit=4)
    assert incoming.too_large
    assert not incoming.head.keep_alive


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / FTP\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),  # TLS at a plain port
    ],
)
def test_what_is_ambiguous_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    with suppress(ProtocolError):
        read(data)


def test_upgrades_leave_what_follows_to_their_handler() -> None:
    reader = RequestReader(10)
    reader.feed(b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n\x80\x03rest")
    incoming = reader.next()
    assert incoming is not None
    assert incoming.head.upgrade
    assert reader.rest() == b"\x80\x03rest"


def test_a_head_that_comes_again_is_known() -> None:
    reader = RequestReader(10)
    reader.feed(GET)
    incoming = reader.next()
    assert incoming is not None
    assert reader.known(GET) is incoming.head
    assert reader.known(POST) is None


def test_connections_close_when_asked() -> None:
    (one,) = read(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    (two,) = read(b"GET / HTTP/1.0\r\n\r\n")
    assert not one.head.keep_alive
    assert not two.head.keep_alive


def test_repeated_headers_are_kept_apart() -> None:
    (incoming,) = read(b"GET / HTTP/1.1\r\nHost: a\r\nImpersonate-Group: x\r\nImpersonate-Group: y,z\r\n\r\n")
    assert incoming.head.headers["impersonate-group"].split("\n") == ["x", "y,z"]


def test_answers() -> None:
    assert answer_head(404, [("A", "b")]) == b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n"
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET /api/%zz HTTP/1.1\r\nHost: a\r\n\r\n"],
)
def test_what_go_refuses_too(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.status == 400


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.lists(st.integers(1, 40), min_size=1), st.booleans()
)
def test_a_streamed_body_is_the_same_however_it_comes(chunks: list[bytes], cuts: list[int], sized: bool) -> None:
    whole = b"".join(chunks)
    if sized:
        whole += b"x" * STREAMED_BYTES_MIN
        framing, body = f"Content-Length: {len(whole) + 1}", whole + b"!"
    else:
        framing = "Transfer-Encoding: chunked"
        body = (
            b"".join(b"%x;a=b\r\n%b\r\n" % (len(each), each) for each in [*chunks, b"!"]) + b"0\r\nTrailer: 1\r\n\r\n"
        )
    data = (
        f"POST /p HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + body + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    reader = RequestReader(10, lambda head: True)
    got, position, turn, done = b"", 0, 0, False
    incoming = None
    while position < len(data) or not done:
        step = cuts[turn % len(cuts)] * (500 if sized else 1)
        reader.feed(data[position : position + step])
        position, turn = position + step, turn + 1
        if incoming is None:
            incoming = reader.next()
        while incoming is not None and not done and (piece := reader.next_piece()) is not None:
            got, done = got + piece, not piece
    assert incoming is not None
    assert incoming.streamed
    assert got == whole + b"!"
    following = reader.next()
    assert following is not None
    assert following.head.path == "/next"
