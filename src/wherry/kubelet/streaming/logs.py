"""The log of one container attempt: from its files to what `kubectl logs` prints, and on as it grows.

Follows by inotify and by the end of the container, never by a timer. Rotation (`0.log` -> `0.log.<time>`) loses and repeats
nothing: the open file is read to its end before the new one is opened.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from wherry.kubelet.streaming.inotify import DirectoryWatch
from wherry.kubelet.streaming.log_lines import Options, Printer, parse

CHUNK_BYTES = 64 << 10
TAIL_LINES_MAX = 1_000_000  # kept in memory while counting; more is as good as all


async def read_log(
    path: Path,
    options: Options,
    is_over: Callable[[], bool],
    on_end: Callable[[Callable[[], None]], Callable[[], None]],
) -> AsyncIterator[bytes]:
    """Pieces of output. `is_over()`: the container has ended; `on_end(poke)` registers for that moment, and gives back how
    to unregister."""
    printer = Printer(options)
    if not options.follow:
        async for piece in _stored(path, options, printer):
            yield piece
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with DirectoryWatch(path.parent) as watch:
        forget = on_end(watch.poke)
        try:
            async for piece in _follow(path, options, printer, is_over, watch):
                yield piece
        finally:
            forget()


async def _stored(path: Path, options: Options, printer: Printer) -> AsyncIterator[bytes]:
    """What is in the files now."""
    if options.tail_lines is not None:
        text = b"".join(printer.print(line) for line in tail(path, options))
        if text:
            yield text
        return
    for file_path in files(path):
        try:
            file = file_path.open("rb")
        except FileNotFoundError:
            continue  # rotated away between listing and opening
        with file:
            async for piece in _print_file(file, printer):
                yield piece
                if printer.is_full:
                    return


async def _print_file(file: BinaryIO, printer: Printer) -> AsyncIterator[bytes]:
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        text = b"".join(map(printer.print, lines))
        if text:
            yield text
        await asyncio.sleep(0)  # a log may be many megabytes; others want to run too


async def _follow(
    path: Path, options: Options, printer: Printer, is_over: Callable[[], bool], watch: DirectoryWatch
) -> AsyncIterator[bytes]:
    current: BinaryIO | None = None
    rest = b""
    try:
        current = _open(path)
        # The end of the open file before anything older is printed: what comes later is read from there on.
        stop = os.fstat(current.fileno()).st_size if current is not None else 0
        async for piece in _before(path, options, printer, stop):
            yield piece
        if current is not None:
            current.seek(_line_start(current, stop))
        while not printer.is_full:
            over = is_over()
            if current is None:
                current = _open(path)
            chunk = current.read(CHUNK_BYTES) if current is not None else b""
            if chunk:
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                text = b"".join(map(printer.print, lines))
                if text:
                    yield text
                continue
            if current is not None and _is_replaced(current, path):
                current.close()
                current, rest = _open(path), b""
                continue
            if over:
                return
            await watch.wait_changed()
    finally:
        if current is not None:
            current.close()


async def _before(path: Path, options: Options, printer: Printer, stop: int) -> AsyncIterator[bytes]:
    """What was there when following began: up to byte `stop` of the current file."""
    if options.tail_lines is not None:
        text = b"".join(map(printer.print, tail(path, options, stop)))
        if text:
            yield text
        return
    for file_path in files(path):
        limit = stop if file_path == path else None
        for lines in _chunks(file_path, limit):
            text = b"".join(map(printer.print, lines))
            if text:
                yield text
            if printer.is_full:
                return
            await asyncio.sleep(0)


def _chunks(path: Path, limit: int | None) -> list[list[bytes]]:
    """Whole lines of a file, in portions."""
    portions: list[list[bytes]] = []
    try:
        with path.open("rb") as file:
            left, rest = limit, b""
            while chunk := file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
                if left is not None:
                    left -= len(chunk)
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                portions.append(lines)
    except FileNotFoundError:
        pass
    return portions


def tail(path: Path, options: Options, stop: int | None = None) -> list[bytes]:
    """The last `tail_lines` lines, as records: parts of one line count once, lines that are not wanted not at all."""
    wanted = min(options.tail_lines or 0, TAIL_LINES_MAX)
    if wanted == 0:
        return []
    printer = Printer(options)
    kept: deque[list[bytes]] = deque(maxlen=wanted)
    is_open = False
    # Newest file first would need fewer bytes; most logs are one file, and the whole is at most some 50 MiB.
    for file_path in files(path):
        for lines in _chunks(file_path, stop if file_path == path else None):
            for line in lines:
                record = parse(line)
                if record is None or not printer.wants(record):
                    continue
                if is_open:
                    kept[-1].append(line)
                else:
                    kept.append([line])
                is_open = record.is_partial
    return [line for group in kept for line in group]


def files(path: Path) -> list[Path]:
    """Rotated files, oldest first, then the current one."""
    try:
        rotated = sorted(entry for entry in path.parent.iterdir() if entry.name.startswith(path.name + "."))
    except FileNotFoundError:
        return []
    return [*rotated, path]


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_replaced(file: BinaryIO, path: Path) -> bool:
    """A new file has been opened under the name."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _line_start(file: BinaryIO, stop: int) -> int:
    """The start of the line that byte `stop` is in: a line may have been half written when we looked."""
    back = min(stop, CHUNK_BYTES)
    file.seek(stop - back)
    found = file.read(back).rfind(b"\n")
    return stop - back + found + 1 if found >= 0 else stop - back
