"""Why something for a pod could not be done, in the words that end up in events and waiting reasons."""

from __future__ import annotations

from wherry.api.types import GVR


class StartFailure(Exception):
    """A container cannot be started now. `reason` is its waiting reason, the text its message."""

    def __init__(self, reason: str, message: str, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_at = retry_at
        """Unix seconds; None: the ordinary delay."""


class VolumeFailure(Exception):
    """A volume cannot be set up now (event FailedMount)."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {message}')
        self.volume = volume


class HookFailure(Exception):
    """A lifecycle hook failed; the text is the event's."""


class MissingObject(Exception):
    """A referenced object does not exist: `configmap "x" not found`."""

    def __init__(self, gvr: GVR, namespace: str, name: str) -> None:
        super().__init__(f'{gvr.resource.removesuffix("s")} "{name}" not found')
        self.gvr = gvr
        self.namespace = namespace
        self.name = name
