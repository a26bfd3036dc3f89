"""`python -m wherry.launcher`: see options.py for its arguments, the package's docstring for what it becomes."""

from __future__ import annotations

import socket
import sys

from wherry.launcher import node, options
from wherry.launcher.hints import explain
from wherry.launcher.loop import Loop
from wherry.launcher.server import Server
from wherry.launcher.syscalls import SyscallError
from wherry.launcher.usermap import Maps


def main(arguments: list[str]) -> int:
    """Runs until it is ended. 1 with the reason on stderr when the kernel refuses."""
    given = options.parse(arguments)
    listener = node.listen(given.socket)

    def inner(loop: Loop, control: socket.socket, maps: Maps) -> None:
        Server(given, listener, loop).serve()

    try:
        return node.run(given, inner)
    except SyscallError as error:
        print(f"launcher: {explain(error)}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
