"""What netd has been told: the services and the namespaces, and the file that brings them back after `kill -9`.

Is: the agent's last word, kept while the agent is away. Is not: the truth, which is the API's; the agent sends all of it
again whenever it connects. Always true: the file is whole (written beside, then renamed) or absent.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wherry.network.services import ServiceRecord

log = logging.getLogger(__name__)


class NetdState(msgspec.Struct, frozen=True):
    """By `namespace/name`; `namespaces` are all that exist."""

    services: dict[str, ServiceRecord] = {}
    namespaces: tuple[str, ...] = ()

    def changed(self, services: Mapping[str, ServiceRecord | None], namespaces: tuple[str, ...] | None) -> NetdState:
        """Another state: these services replaced (None: gone); `namespaces` None means as before."""
        merged: dict[str, ServiceRecord | None] = {**self.services, **services}
        kept = {key: record for key, record in merged.items() if record is not None}
        return NetdState(kept, self.namespaces if namespaces is None else namespaces)


def load(path: Path) -> NetdState:
    """The file's state; an empty one when there is none or it is not ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=NetdState)
    except FileNotFoundError:
        return NetdState()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s is not readable, waiting for the agent instead: %s", path, error)
        return NetdState()


def save(path: Path, state: NetdState) -> None:
    """Not synced to the disk: after a crash of the machine the agent has another state to send anyway."""
    beside = path.with_suffix(".new")
    with open(beside, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(msgspec.json.encode(state))
    os.replace(beside, path)
