"""`python -m wherry.cluster ROLE --state DIR [--node N]`: the entry of every process but the launcher.

Only what the role needs is imported, since what is imported stays in memory: megabytes of it are for others.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wherry.cluster.paths import State

USAGE = "usage: python -m wherry.cluster supervisor|control-plane|node-agent|netd --state DIR [--node N]"


def main(arguments: list[str]) -> int:
    """2 for arguments that make no sense; `--node`: which of the system's nodes a node agent is."""
    role, given = arguments[0] if arguments else "", dict(zip(arguments[1::2], arguments[2::2], strict=False))
    state, node = State(Path(given.pop("--state", ""))), given.pop("--node", "1")
    if given or len(arguments) % 2 == 0 or state.root == Path() or not node.isdigit():
        print(USAGE, file=sys.stderr)
        return 2
    if role == "supervisor":
        from wherry.cluster.system import supervise

        supervise(state)
        return 0
    _import_lightly()
    if role == "control-plane":
        from wherry.cluster.control_plane import main as control_plane

        control_plane(state)
    elif role == "node-agent":
        from wherry.cluster.node_agent import main as node_agent

        node_agent(state, int(node))
    elif role == "netd":
        _do_without_openssl()
        from wherry.cluster.netd import main as netd

        netd(state)
    else:
        print(USAGE, file=sys.stderr)
        return 2
    return 0


def _import_lightly() -> None:
    """msgspec takes typing_extensions for what Python's own typing has by now; who needs it loads it later."""
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]


def _do_without_openssl() -> None:
    """asyncio and hashlib can: megabytes that netd has no use for."""
    sys.modules.update(dict.fromkeys(("ssl", "_hashlib")))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
