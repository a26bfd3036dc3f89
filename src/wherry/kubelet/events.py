"""Events about pods and their containers, as kubelet words them."""

from __future__ import annotations

from typing import Literal, Protocol

from wherry.api.types import Obj
from wherry.kubelet import pod_spec


class Recorder(Protocol):
    """`client.events.EventRecorder`: returns at once, aggregates repetitions."""

    def event(
        self, obj: Obj, type: Literal["Normal", "Warning"], reason: str, message: str, *, field_path: str = ""
    ) -> None: ...


class PodEvents:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def normal(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        self._recorder.event(_whole(pod), "Normal", reason, message, field_path=_field_path(pod, container))

    def warning(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        self._recorder.event(_whole(pod), "Warning", reason, message, field_path=_field_path(pod, container))


def _whole(pod: Obj) -> Obj:
    """Items of a list may come without kind and apiVersion; references need them."""
    return pod if "kind" in pod else {"kind": "Pod", "apiVersion": "v1", **pod}


def _field_path(pod: Obj, container: str) -> str:
    if not container:
        return ""
    names = {each["name"] for each in pod_spec.init_containers(pod)}
    kind = "initContainers" if container in names else "containers"
    return f"spec.{kind}{{{container}}}"
