"""`python -m wherry.testing.simulation`: one seed looked at closely, or many of them as fast as the machine goes."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from wherry.testing.simulation.many import run_many
from wherry.testing.simulation.report import report


def main() -> int:
    """0 when every seed passed."""
    parser = argparse.ArgumentParser(prog="python -m wherry.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one, and show it whole when it fails")
    parser.add_argument("--seeds", type=int, default=100, help="run this many (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--keep", action="store_true", help="go on after failures; by default five are enough")
    parser.add_argument("--whole", action="store_true", help="do not make a failure smaller")
    arguments = parser.parse_args()
    logging.getLogger("wherry").setLevel(logging.ERROR)
    logging.getLogger("wherry").propagate = False
    say = sys.stdout.write
    if arguments.seed is not None:
        return report(arguments.seed, say, shrink=not arguments.whole)
    return run_many(
        arguments.first, arguments.seeds, arguments.workers, say, keep=arguments.keep, shrink=not arguments.whole
    )


if __name__ == "__main__":
    sys.exit(main())
