"""Which images lie on which nodes, and how large they are: what the nodes' statuses say.

Bounded by what the nodes report (each at most 50 images, as a kubelet does).
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj


class Images:
    """Kept by `put`; `worth` is what having an image is worth to a node that has it."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, int]] = {}
        """node -> image name -> bytes."""
        self._on: dict[str, int] = {}
        """image name -> how many nodes have it."""
        self._nodes: set[str] = set()

    def put(self, node: str, obj: Obj | None) -> Iterable[str]:
        """The node's newest version (None: it is gone). Answers the nodes whose worth may have changed by that: a rare
        image that becomes common counts for more on every node that has it."""
        known = len(self._nodes)
        before = self._of.get(node, {})
        if obj is None:
            self._nodes.discard(node)
            now: dict[str, int] = {}
        else:
            self._nodes.add(node)
            now = _named(obj)
        if now == before and len(self._nodes) == known:
            return ()
        for name in before:
            self._on[name] -= 1
            if not self._on[name]:
                del self._on[name]
        for name in now:
            self._on[name] = self._on.get(name, 0) + 1
        if now:
            self._of[node] = now
        else:
            self._of.pop(node, None)
        return tuple(self._of)

    def known(self, name: str) -> bool:
        """Whether any node has it."""
        return name in self._on

    def worth(self, name: str, node: str) -> int:
        """Its bytes, less where few nodes have it: else all pods of a new image would run to the first node that has it."""
        size = self._of.get(node, {}).get(name)
        return 0 if size is None else int(size * (self._on[name] / len(self._nodes)))


def _named(node: Obj) -> dict[str, int]:
    return {
        name: int(image.get("sizeBytes") or 0)
        for image in (node.get("status") or {}).get("images") or ()
        for name in image.get("names") or ()
    }
