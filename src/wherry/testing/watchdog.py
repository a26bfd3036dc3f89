"""A process that ends a test's system when the test's process has ended without doing so: `python -m wherry.testing.watchdog`.

It reads a pipe whose other end only that process holds; the kernel closes it, whatever happens. Is not: the way a system
ends when all goes well, which is `System.__exit__`; then there is nothing left for it to do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def start(folder: Path) -> subprocess.Popen[bytes]:
    """It has a session of its own: Ctrl-C and the end of a terminal are not for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "wherry.testing.watchdog", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(watchdog: subprocess.Popen[bytes]) -> None:
    """Everything has ended in good order."""
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    watchdog.wait()


def end_system(folder: Path) -> None:
    """Whatever of a system runs in a folder, and its state, some of which belongs to other users. Raises SystemFailure."""
    from wherry.cluster import system, trees
    from wherry.cluster.paths import State

    state = State(folder / "state")
    if state.root.exists():
        system.stop(state)
        system.remove(state, trees.remove)


def main(folder: Path) -> None:
    """Until the pipe is closed; then see that nothing is left."""
    sys.stdin.buffer.read()
    from wherry.testing.temporary import sweep

    sweep(folder.name, end_system, wait=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
