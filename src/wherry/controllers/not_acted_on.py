"""Objects that are stored and that nothing acts on yet: each gets one Event that says so, for `kubectl describe` to show.

The rule of the house is that nothing is ignored in silence. A resource leaves this table in the change that brings its
controller. Not about fields of pods: the kubelet says those (`kubelet/enforcement.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import Handler
from wherry.reconcile.parts import Parts

REASON = "NotActedOn"
WHAT: Mapping[tuple[str, str], str] = {
    ("networking.k8s.io", "ingresses"): "nothing routes; use a Service of type NodePort",
    ("networking.k8s.io", "networkpolicies"): "nothing is filtered, every pod reaches every other",
    ("resource.k8s.io", "resourceclaims"): "no device is allocated",
}


class NotActedOn:
    """Tells once per object and start; equal Events are counted up by the recorder, not repeated."""

    def __init__(self, parts: Parts, scheme: Scheme) -> None:
        for gvr in watched(scheme):
            text = WHAT[gvr.group, gvr.resource]
            parts.factory.informer(gvr).add_handler(_teller(parts.recorder, text))

    async def run(self) -> None:
        """The handlers do the work; until cancelled."""
        await asyncio.Event().wait()


def build(parts: Parts, *, scheme: Scheme) -> NotActedOn:
    """Wired to an informer of each such resource the scheme serves."""
    return NotActedOn(parts, scheme)


def watched(scheme: Scheme) -> list[GVR]:
    """The resources of the table in the version the scheme prefers."""
    preferred = {group.name: group.preferred for group in scheme.groups()}
    return [
        gvr for gvr in scheme.resources if (gvr.group, gvr.resource) in WHAT and gvr.version == preferred[gvr.group]
    ]


def _teller(recorder: EventRecorder, text: str) -> Handler:
    def tell(change: str, obj: Obj, old: Obj | None) -> None:
        if change == "added":
            recorder.event(obj, "Warning", REASON, f"stored, but nothing acts on it: {text}")

    return tell
