"""A node that has the pod's images already starts it sooner; large images count, and those many nodes have."""

from __future__ import annotations

from typing import Any

from wherry.scheduler.framework import SCORE_MAX, SKIP, Score
from wherry.scheduler.images import Images
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot

WORTH_MIN = 23 * 1024 * 1024
WORTH_MAX = 1000 * 1024 * 1024
"""kube-scheduler's thresholds in bytes: less than the first is no reason, and each container counts up to the second."""


def _prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
    return snapshot.images if any(snapshot.images.known(name) for name in pod.images) else SKIP


def _rate(pod: PodInfo, node: NodeInfo, images: Images) -> float:
    worth = sum(images.worth(name, node.name) for name in pod.images)
    largest = WORTH_MAX * len(pod.images)
    return SCORE_MAX * (min(max(worth, WORTH_MIN), largest) - WORTH_MIN) // (largest - WORTH_MIN)


SCORE = Score("ImageLocality", 1, _rate, _prepare, local=True)
"""Local: when the worth of an image changes, the snapshot names every node that has it as changed."""
