"""What a command shows while it works: one line per thing that changes, redrawn in place on a terminal.

On a terminal the lines of running work are kept below what is finished; elsewhere each change is one plain line.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.live import Live

MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "running": ("·", "cyan"), "unchanged": ("=", "bright_black")}


class Progress:
    """Rows by name. `monotonic` measures how long each took."""

    def __init__(self, monotonic: Callable[[], float], *, terminal: bool, quiet: bool = False) -> None:
        self.monotonic = monotonic
        self.terminal = terminal
        self._quiet = quiet
        self._rows: dict[str, tuple[str, str]] = {}
        self._started: dict[str, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.live import Live

            self._live = Live("", refresh_per_second=12, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
            for name, (mark, text) in self._rows.items():
                if mark in ("running", "failed"):
                    self._print(mark, name, text)

    def update(self, name: str, text: str, mark: str = "running") -> None:
        """Show `text` behind `name`; a finished row (`done`, `failed`, `unchanged`) is printed for good."""
        if self._quiet or self._rows.get(name) == (mark, text):
            return
        self._started.setdefault(name, self.monotonic())
        self._rows[name] = (mark, text)
        if not self.terminal:
            self._print(mark, name, self._timed(name, mark, text))
            return
        if mark in ("done", "unchanged"):
            self._say(mark, name, self._timed(name, mark, text))
            del self._rows[name]
        self._draw()

    def say(self, line: str = "") -> None:
        """A line of its own."""
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line)

    def _timed(self, name: str, mark: str, text: str) -> str:
        took = self.monotonic() - self._started[name]
        return f"{text} ({took:.1f} s)" if mark == "done" and took >= 0.05 else text

    def _say(self, mark: str, name: str, text: str) -> None:
        assert self._live
        from rich.text import Text

        sign, colour = MARKS[mark]
        self._live.console.print(Text.assemble((sign, colour), f" {name:<44} ", (text, "bright_black")))

    def _print(self, mark: str, name: str, text: str) -> None:
        sign, colour = MARKS[mark]
        click.echo(f"{click.style(sign, fg=colour)} {name:<44} {text}".rstrip())

    def _draw(self) -> None:
        assert self._live
        from rich.text import Text

        rows = Text()
        for name, (mark, text) in list(self._rows.items())[-30:]:
            sign, colour = MARKS[mark]
            rows.append(sign, colour).append(f" {name:<44} ").append(
                f"{text}\n", "yellow" if mark == "running" else colour
            )
        self._live.update(rows)
