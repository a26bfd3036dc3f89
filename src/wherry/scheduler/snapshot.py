"""Nodes with what runs on them, kept up to date by watch events: what a scheduling decision looks at.

Includes assumed pods (placed by us, their binding on its way to storage and back) and nominations (room being made for a
pod by preemption). Without the first two pods would be given the same room, without the second a less important pod would
take it. Plain memory, changed only between decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.api.types import Obj
from wherry.reconcile.pods import is_finished
from wherry.scheduler.alike import Alike
from wherry.scheduler.images import Images
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.term_index import TermIndex
from wherry.scheduler.zones import Zones


class Snapshot:
    """All nodes by name. `nodes` is the list decisions walk over; its order is the order of arrival."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._list: list[NodeInfo] | None = None
        self._where: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._nominated: dict[str, tuple[str, PodInfo]] = {}
        self.listeners: list[set[str]] = []
        """Sets that want the names of nodes that changed; whoever reads one empties it."""
        self.terms = TermIndex()
        self.images = Images()
        self.zones = Zones()
        self.alike = Alike()
        self.of_nodes: dict[bytes, Any] = {}
        """What plugins worked out from the nodes alone, by what they asked; empty again when a node changes."""

    @property
    def nodes(self) -> list[NodeInfo]:
        if self._list is None:
            self._list = list(self._nodes.values())
        return self._list

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def _touched(self, name: str) -> None:
        for names in self.listeners:
            names.add(name)

    def _count(self, pod: PodInfo, labels: Mapping[str, str], sign: int) -> None:
        """The pod came to (+1) or left (-1) a node with these labels."""
        self.terms.count(pod, labels, sign)
        self.zones.count(pod, labels, sign)

    # -- nodes

    def put_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        self.of_nodes.clear()
        self._touched(name)
        self._images_changed(name, node)
        info = self._nodes.get(name)
        if info is not None:
            labels = info.labels
            info.set_node(node)
            if labels != info.labels:
                self.zones.count_node(labels, -1)
                self.zones.count_node(info.labels, 1)
                for pod in info.pods.values():
                    self._count(pod, labels, -1)
                    self._count(pod, info.labels, 1)
            return
        info = self._nodes[name] = NodeInfo(node)
        self.zones.count_node(info.labels, 1)
        self._list = None
        # Pods may be seen before their node: two informers know no common order.
        for pod in self._homeless.pop(name, {}).values():
            info.add(pod)
            self._count(pod, info.labels, 1)
            self.alike.count(pod, name, 1)
        info.nominated = {uid: pod for uid, (where, pod) in self._nominated.items() if where == name}

    def remove_node(self, name: str) -> None:
        self.of_nodes.clear()
        self._touched(name)
        self._images_changed(name, None)
        info = self._nodes.pop(name, None)
        if info is not None:
            self._list = None
            self.zones.count_node(info.labels, -1)
            for pod in info.pods.values():
                self._count(pod, info.labels, -1)
                self.alike.count(pod, name, -1)
            if info.pods:
                self._homeless[name] = dict(info.pods)

    def _images_changed(self, name: str, node: Obj | None) -> None:
        for each in self.images.put(name, node):
            self._touched(each)

    # -- pods with a node

    def put_pod(self, pod: Obj) -> None:
        """A pod as the API has it: placed if it has a node and has not finished."""
        uid = pod["metadata"]["uid"]
        name = pod["spec"].get("nodeName")
        if not name or is_finished(pod):
            if uid not in self._assumed or is_finished(pod):
                self.remove_pod(uid)
            return
        self._assumed.discard(uid)
        self._place(PodInfo.of(pod), name)

    def assume(self, info: PodInfo, node: str) -> None:
        """Count the pod on the node although the API does not say so yet."""
        self._assumed.add(info.uid)
        self._place(info, node)

    def forget(self, uid: str) -> None:
        """The binding failed: the assumption was wrong."""
        if uid in self._assumed:
            self.remove_pod(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def remove_pod(self, uid: str) -> None:
        self._assumed.discard(uid)
        name = self._where.pop(uid, None)
        if name is None:
            return
        self._touched(name)
        info = self._nodes.get(name)
        if info is None:
            homeless = self._homeless.get(name, {})
            homeless.pop(uid, None)
            if not homeless:
                self._homeless.pop(name, None)
            return
        gone = info.pods.get(uid)
        info.remove(uid)
        if gone is not None:
            self._count(gone, info.labels, -1)
            self.alike.count(gone, name, -1)

    def _place(self, info: PodInfo, name: str) -> None:
        assumed = info.uid in self._assumed
        self.remove_pod(info.uid)
        self.denominate(info.uid)
        if assumed:
            self._assumed.add(info.uid)
        self._where[info.uid] = name
        self._touched(name)
        node = self._nodes.get(name)
        if node is None:
            self._homeless.setdefault(name, {})[info.uid] = info
        else:
            node.add(info)
            self._count(info, node.labels, 1)
            self.alike.count(info, name, 1)

    # -- pods that were promised room

    def nominate(self, info: PodInfo, name: str) -> None:
        """Promise the pod room on the node."""
        self.denominate(info.uid)
        self._nominated[info.uid] = (name, info)
        self._touched(name)
        node = self._nodes.get(name)
        if node is not None:
            node.nominated[info.uid] = info

    def denominate(self, uid: str) -> bool:
        """Take the promise back; whether there was one."""
        name, _ = self._nominated.pop(uid, ("", None))
        if not name:
            return False
        self._touched(name)
        node = self._nodes.get(name)
        if node is not None:
            node.nominated.pop(uid, None)
        return True

    def nominated(self, uid: str) -> str:
        """The node where the pod was promised room; empty if nowhere."""
        return self._nominated[uid][0] if uid in self._nominated else ""

    @property
    def promised_with_affinity(self) -> bool:
        """Whether a pod that was promised room may keep others away once it is there: `terms` do not know it yet."""
        return any("affinity" in pod.pod["spec"] for _, pod in self._nominated.values())
