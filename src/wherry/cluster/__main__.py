"""`python -m wherry.cluster ROLE --state DIR`: the entry of every process but the launcher."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wherry.cluster.paths import State


def main() -> int:
    """Import only what the role needs: the supervisor stays small."""
    parser = argparse.ArgumentParser(prog="wherry.cluster")
    parser.add_argument("role", choices=["supervisor", "control-plane", "node-agent", "netd"])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--node", type=int, default=1, help="which of the system's nodes a node agent is")
    arguments = parser.parse_args()
    state = State(arguments.state)
    if arguments.role == "supervisor":
        from wherry.cluster.system import supervise

        supervise(state)
    elif arguments.role == "control-plane":
        from wherry.cluster.control_plane import main as control_plane

        control_plane(state)
    elif arguments.role == "node-agent":
        from wherry.cluster.node_agent import main as node_agent

        node_agent(state, arguments.node)
    else:
        from wherry.cluster.netd import main as netd

        netd(state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
