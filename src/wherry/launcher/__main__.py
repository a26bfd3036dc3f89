"""`python -m wherry.launcher`: see options.py for its arguments, the package's docstring for what it becomes."""

from __future__ import annotations

import sys

from wherry.launcher import node, options
from wherry.launcher.hints import explain
from wherry.launcher.server import Server
from wherry.launcher.syscalls import SyscallError


def main(arguments: list[str]) -> int:
    """Runs until it is ended. 1 with the reason on stderr when the kernel refuses."""
    given = options.parse(arguments)
    listener = node.listen(given.socket)
    try:
        return node.run(given, lambda context, loop, control: Server(context, listener, loop, control).serve())
    except SyscallError as error:
        print(f"launcher: {explain(error)}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
