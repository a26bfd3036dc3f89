"""CRI's log records and their rotation."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wherry.launcher.logs import LINE_BYTES_MAX, LineSplitter, LogFile, rotated, timestamp


def test_a_timestamp_has_nanoseconds_and_is_in_utc() -> None:
    assert timestamp(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


def test_lines_wait_for_their_end() -> None:
    lines = LineSplitter("stdout")
    assert lines.feed(b"one\ntw", b"T") == b"T stdout F one\n"
    assert lines.feed(b"o\n\n", b"U") == b"U stdout F two\nU stdout F \n"
    assert lines.feed(b"rest", b"V") == b""
    assert lines.end(b"W") == b"W stdout P rest\n"
    assert lines.end(b"W") == b""


def test_long_lines_are_partial_records() -> None:
    lines = LineSplitter("stderr")
    out = lines.feed(b"x" * (2 * LINE_BYTES_MAX + 5) + b"\n", b"T").splitlines()
    assert [record.split(b" ", 3)[2] for record in out] == [b"P", b"P", b"F"]
    assert [len(record.split(b" ", 3)[3]) for record in out] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]


@given(st.lists(st.binary(max_size=50_000), max_size=6))
def test_nothing_is_lost_or_made_up(chunks: list[bytes]) -> None:
    lines = LineSplitter("stdout")
    records = b"".join(lines.feed(chunk, b"T") for chunk in chunks) + lines.end(b"T")
    text = b""
    for record in records.split(b"\n")[:-1]:
        _, stream, tag, content = record.split(b" ", 3)
        assert stream == b"stdout"
        assert len(content) <= LINE_BYTES_MAX
        text += content + (b"\n" if tag == b"F" else b"")
    assert text == b"".join(chunks)


def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    path = tmp_path / "web" / "0.log"
    log = LogFile(str(path), bytes_max=100, files_max=3)
    for second in range(5):
        log.write(b"%d" % second * 100 + b"\n", second)
    assert path.read_bytes() == b""
    assert [Path(name).name for name in rotated(str(path))] == ["0.log.19700101-000003", "0.log.19700101-000004"]
    log.write(b"a" * 100, 4)  # a second time within the same second: nothing is overwritten
    log.write(b"b" * 10, 5)
    assert sum(Path(name).stat().st_size for name in (*rotated(str(path)), str(path))) == 101 + 110
    log.close()


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    for _ in range(2):
        log = LogFile(str(path))
        log.write(b"x\n", 0)
        log.close()
    assert path.read_bytes() == b"x\nx\n"
