"""What a user would see of some kinds, step by step: the Events about them, then what `kubectl get` shows.

Events stand together by the object they are about, each object's in their order and once per step, so that a transcript
says what happens to whom and not which of two controllers was faster, or how often one tried. Names with chance in them
get letters in the order of their birth: `web-A-b` is the second pod of the first template.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from world import World

from wherry.api.resources import EVENTS, PERSISTENT_VOLUMES, PODS
from wherry.api.types import GVR, Obj
from wherry.apiserver.table import PRINTERS

RANDOM = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
UNBORN = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\"")
"""In an error: the name a pod would have got."""
SETTLED = 30.0


LIVES = Path(__file__).with_name("lives")


def recorded(name: str) -> str:
    """The transcript of that name, as it was when somebody read it last and found it right."""
    return (LIVES / f"{name}.txt").read_text()


class Transcript:
    """Begins with the next change. `columns` names the cells to show of a resource; without, all but Name and Age."""

    def __init__(self, w: World, *gvrs: GVR, columns: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._w = w
        self._columns = columns or {}
        self._gvrs = {self._kind(gvr): gvr for gvr in gvrs}
        self._lines: list[str] = []
        self._told: dict[tuple[str, str], list[str]] = {}
        self._names: dict[str, str] = {}
        self._families: dict[str, int] = {}
        for gvr in {PODS: 0, **dict.fromkeys(gvrs)}:  # pods are spoken of in the events of others
            w.factory.informer(gvr).add_handler(lambda type, obj, old: self._meet(obj))
        w.factory.informer(EVENTS).add_handler(self._on_event)

    async def after(self, heading: str, seconds: float = SETTLED) -> None:
        """Let so much time pass after what `heading` says, and tell."""
        await asyncio.sleep(seconds)
        self._lines.append(f"# {heading}")
        kinds = list(self._gvrs)
        for kind, name in sorted(self._told, key=lambda one: (kinds.index(one[0]), self._plain(one[1]))):
            self._lines += [f"  {kind} {name}: {text}" for text in self._told[kind, name]]
        self._told.clear()
        for kind, gvr in self._gvrs.items():
            self._lines += [f"{kind} {row}" for row in self._rows(gvr)]

    def text(self) -> str:
        return self._plain("\n".join(self._lines) + "\n")

    def _plain(self, text: str) -> str:
        """Without chance in it. Long names first: a pod's begins with its set's."""
        for name in sorted(self._names, key=len, reverse=True):
            text = text.replace(name, self._names[name])
        return text

    def _kind(self, gvr: GVR) -> str:
        resource = self._w.scheme.resource(gvr)
        assert resource is not None
        return resource.kind

    def _rows(self, gvr: GVR) -> list[str]:
        printer, wanted = PRINTERS[f"{gvr.group}/{gvr.resource}"], self._columns.get(gvr.resource)
        rows = []
        namespace = None if gvr == PERSISTENT_VOLUMES else "default"
        for obj in sorted(
            self._w.factory.informer(gvr).list(namespace), key=lambda obj: self._plain(obj["metadata"]["name"])
        ):
            cells = zip(printer.columns, printer.cells(obj, self._w.clock.time()), strict=False)
            shown = [
                f"{column.name} {cell}"
                for column, cell in cells
                if (column.name in wanted if wanted is not None else column.priority == 0)
                and column.name not in ("Name", "Age", "VolumeAttributesClass")
            ]
            rows.append(f"{obj['metadata']['name']}: {', '.join(shown)}".rstrip())
        return rows

    def _on_event(self, type: str, event: Obj, old: Obj | None) -> None:
        about = event["involvedObject"]
        if type == "deleted" or about["kind"] not in self._gvrs:
            return
        message = UNBORN.sub('-?"', event["message"].removeprefix("(combined from similar events): "))
        text = f"{event['type']} {event['reason']}: {message}"
        told = self._told.setdefault((about["kind"], about["name"]), [])
        if text not in told:
            told.append(text)

    def _meet(self, obj: Obj) -> None:
        """Remember what to call it."""
        metadata = obj["metadata"]
        template = (metadata.get("labels") or {}).get("pod-template-hash")
        if template:
            self._call(f"-{template}", "-", ascii_uppercase, "templates")
        prefix = metadata.get("generateName", "")
        if prefix and RANDOM.search(metadata["name"]):
            self._call(metadata["name"], prefix, ascii_lowercase, prefix)
        if obj["kind"] == "PersistentVolumeClaim":
            self._call(f"pvc-{metadata['uid']}", "pvc-", ascii_lowercase, "volumes")

    def _call(self, name: str, prefix: str, letters: str, family: str) -> None:
        if name not in self._names:
            count = self._families.get(family, 0)
            self._families[family] = count + 1
            self._names[name] = prefix + letters[count]
