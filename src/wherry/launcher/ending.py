"""The node's end in order: every container is told to end, and the node ends with the last of them.

How long they may take is the outer process's affair (node.py), which kills the node when the time is over.
"""

from __future__ import annotations

import signal

from wherry.launcher.loop import Loop
from wherry.launcher.records import Container, Records
from wherry.launcher.specs import STOP_SIGNAL_LABEL


class Ending:
    """Nothing until `begin`; from then on `look` stops the loop once no container is alive."""

    def __init__(self, loop: Loop, records: Records) -> None:
        self._loop = loop
        self._records = records
        self._begun = False

    def begin(self) -> None:
        """Signal every container's first process. Idempotent."""
        if self._begun:
            return
        self._begun = True
        for container in self._records.containers.values():
            init = self._records.sandboxes[container.sandbox_id].init
            if container.alive and init is not None:
                # Number 0 is nobody's: the answer is dropped, the end of the container is an event of its own.
                init.send({"id": 0, "op": "kill", "args": {"id": container.id, "signal": _stop_signal(container)}})
        self.look()

    def look(self) -> None:
        """Something changed."""
        if self._begun and not any(container.alive for container in self._records.containers.values()):
            self._loop.stop()


def _stop_signal(container: Container) -> int:
    """What its image or pod asks for, by name or number; SIGTERM for what is no signal here."""
    wanted = container.spec["labels"].get(STOP_SIGNAL_LABEL, "")
    if wanted.isdecimal():
        return int(wanted)
    return int(getattr(signal, f"SIG{wanted.removeprefix('SIG')}", signal.SIGTERM))
