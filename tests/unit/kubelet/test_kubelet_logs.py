"""Reading a container's log: formats, options, following it across rotation to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.kubelet.streaming.log_lines import Options
from wherry.kubelet.streaming.logs import read_log


def stamp(second: int) -> str:
    return f"2026-11-21T08:00:{second:02}.123456789Z"


def line(second: int, text: str, stream: str = "stdout", part: str = "F") -> str:
    return f"{stamp(second)} {stream} {part} {text}\n"


def read(path: Path, options: Options) -> str:
    async def main() -> bytes:
        return b"".join([piece async for piece in read_log(path, options, lambda: True, lambda poke: lambda: None)])

    return asyncio.run(main()).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app" / "0.log"
    path.parent.mkdir()
    (path.parent / "0.log.20261121-075900").write_text(line(0, "zero") + line(1, "one"))
    path.write_text(line(2, "tw", part="P") + line(2, "o") + line(3, "three", "stderr") + line(4, "four"))
    (path.parent / "00.log").write_text(line(9, "of another attempt"))
    return path


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "zero\none\ntwo\nthree\nfour\n"),
        ({"tail_lines": 3}, "two\nthree\nfour\n"),
        ({"tail_lines": 0}, ""),
        ({"tail_lines": 99}, "zero\none\ntwo\nthree\nfour\n"),
        ({"limit_bytes": 7}, "zero\non"),
        ({"stream": "stderr"}, "three\n"),
        ({"stream": "stdout", "tail_lines": 2}, "two\nfour\n"),
        ({"since": 1795248003.2}, "four\n"),
        ({"since": 1795248003.1}, "three\nfour\n"),
        ({"tail_lines": 2, "timestamps": True}, f"{stamp(3)} three\n{stamp(4)} four\n"),
        ({"tail_lines": 3, "timestamps": True, "limit_bytes": 35}, f"{stamp(2)} two\n"),
    ],
)
def test_options(log: Path, options: dict[str, object], text: str, follow: bool) -> None:
    assert read(log, Options(follow=follow, **options)) == text  # type: ignore[arg-type]


def test_no_log_yet(tmp_path: Path) -> None:
    assert read(tmp_path / "app" / "0.log", Options()) == ""
    assert read(tmp_path / "app" / "0.log", Options(follow=True, tail_lines=5)) == ""


class Following:
    """A follower whose output a test can wait for."""

    def __init__(self, path: Path, options: Options) -> None:
        self.over = False
        self.text = ""
        self._poke: Callable[[], None] = lambda: None
        self._came = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(path, options))

    async def _run(self, path: Path, options: Options) -> None:
        def on_end(poke: Callable[[], None]) -> Callable[[], None]:
            self._poke = poke
            return lambda: None

        async for piece in read_log(path, options, lambda: self.over, on_end):
            self.text += piece.decode()
            self._came.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(60):
            while self.text != text:
                await self._came.wait()
                self._came.clear()

    async def end(self) -> None:
        self.over = True
        self._poke()
        async with asyncio.timeout(60):
            await self.task


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_following_across_rotation_loses_and_repeats_nothing(log: Path) -> None:
    async def main() -> None:
        following = Following(log, Options(follow=True, tail_lines=1))
        await following.until("four\n")
        append(log, line(5, "five") + line(6, "six")[:-3])
        await following.until("four\nfive\n")
        append(log, line(6, "six")[-3:])
        await following.until("four\nfive\nsix\n")
        append(log, line(7, "seven"))
        log.rename(log.with_name("0.log.20261121-080007"))
        append(log, line(8, "eight"))
        await following.until("four\nfive\nsix\nseven\neight\n")
        append(log, line(9, "nine"))
        await following.end()
        assert following.text == "four\nfive\nsix\nseven\neight\nnine\n"

    asyncio.run(main())


def test_following_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "app" / "0.log"
        following = Following(path, Options(follow=True))
        await asyncio.sleep(0)
        path.parent.mkdir(exist_ok=True)
        append(path, line(1, "one"))
        await following.until("one\n")
        await following.end()

    asyncio.run(main())


def test_a_half_written_line_at_the_start_is_read_once(log: Path) -> None:
    async def main() -> None:
        append(log, line(5, "five")[:-2])
        following = Following(log, Options(follow=True, since=1795248004.0))
        await following.until("four\n")
        append(log, line(5, "five")[-2:])
        await following.until("four\nfive\n")
        await following.end()

    asyncio.run(main())
