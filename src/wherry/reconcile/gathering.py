"""How long changes are left to gather before a look that reads many pods. Pure.

A controller that reads all pods of an owner after each of their changes does, for n pods that start together, n looks of n
pods. With a pause between looks that grows with the pods, looking takes a bounded share of the time; a few pods wait for
nothing. (kube-controller-manager's --endpointslice-updates-batch-period is such a pause, for all Services alike.)
"""

from __future__ import annotations

from typing import Final

MANY: Final = 500
READ_PER_SECOND: Final = 5_000
"""Objects read per second of pausing: at some 20 microseconds each looking takes a tenth of the time."""
SECONDS_MAX: Final = 2.0


def seconds_for(objects: int) -> float:
    """Seconds to wait for more changes before so many objects are read."""
    return min(objects / READ_PER_SECOND, SECONDS_MAX) if objects >= MANY else 0.0
