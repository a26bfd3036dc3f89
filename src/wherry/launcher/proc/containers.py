"""Operations on containers in tier `proc`: a writable layer is told from the copy of the image that it began as."""

from __future__ import annotations

from wherry.launcher.containers import ContainerOperations
from wherry.launcher.proc import difference
from wherry.launcher.records import Container


class ProcContainers(ContainerOperations):
    """As in the other tiers but for the layer."""

    def _settle(self, container: Container) -> None:
        difference.reduce(container.spec["rootfs"]["layers"], f"{container.directory}/upper")
