"""Nobody makes more pods than were wanted: of ReplicaSets, Jobs and DaemonSets, nor two Jobs of a CronJob that forbids it.

A controller's picture may be old, so what was wanted a while ago counts too; and a request whose answer was lost may be
made again, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import JOBS, PODS, REPLICA_SETS
from wherry.api.types import GVR, Obj
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay, controller, is_active
from wherry.testing.simulation.story import Event, Story, about

FIELDS: dict[str, tuple[GVR, str]] = {"ReplicaSet": (REPLICA_SETS, "replicas"), "Job": (JOBS, "parallelism")}
AUTHORS = ("controller-manager", "-controller")


class Amounts:
    def __init__(self, story: Story) -> None:
        self._known_since = story.known_since
        self._wanted: dict[str, list[tuple[float, int]]] = {}
        """uid -> (since when, how many), oldest first."""
        self._doubtful: dict[str, list[float]] = {}
        """uid of an owner -> when pods were made of which the maker was not told."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        seen = event.seen
        for gvr, field in FIELDS.values():
            if seen.key[0] == gvr:
                self._note(seen.at, seen.obj["metadata"]["uid"], _amount(seen.obj, field))
        if seen.type != "ADDED":
            return
        owner = controller(seen.obj)
        if owner is None or event.call is None or not event.who.endswith(AUTHORS):
            return
        if event.call.code == 0 or event.call.lost:
            self._doubtful.setdefault(owner["uid"], []).append(seen.at)
        if seen.key[0] == PODS and owner["kind"] in FIELDS:
            yield from self._too_many(event, before, owner)
        elif seen.key[0] == PODS and owner["kind"] == "DaemonSet":
            yield from self._two_on_a_node(event, before, owner)
        elif seen.key[0] == JOBS:
            yield from _overlapping(event, before, owner)

    def _note(self, at: float, uid: str, amount: int) -> None:
        known = self._wanted.setdefault(uid, [])
        if not known or known[-1][1] != amount:
            known.append((at, amount))

    def _recent(self, uid: str, at: float) -> int:
        """How many of its pods may be there twice."""
        since = self._known_since(at)
        return sum(then >= since for then in self._doubtful.get(uid, ()))

    def _too_many(self, event: Event, before: Replay, owner: Obj) -> Iterator[Violation]:
        at, uid = event.seen.at, owner["uid"]
        history = self._wanted.get(uid, [])
        ends = [until for until, _ in history[1:]] + [float("inf")]
        since = self._known_since(at)
        most = max((amount for (_, amount), end in zip(history, ends, strict=True) if end >= since), default=0)
        there = 1 + sum(map(is_active, before.pods_of(uid)))
        if there > most + self._recent(uid, at):
            text = f"{about(event.seen.key)} is number {there} of {owner['kind']} {owner['name']}, which wanted {most} at most"
            yield Violation("too many pods", text, (owner["name"],))

    def _two_on_a_node(self, event: Event, before: Replay, owner: Obj) -> Iterator[Violation]:
        daemon_set = before.by_uid(owner["uid"])
        update = ((daemon_set or {}).get("spec") or {}).get("updateStrategy") or {}
        if daemon_set is None or (update.get("rollingUpdate") or {}).get("maxSurge"):
            return
        node = _wanted_node(event.seen.obj)
        there = 1 + sum(is_active(pod) and _wanted_node(pod) == node for pod in before.pods_of(owner["uid"]))
        if there > 1 + self._recent(owner["uid"], event.seen.at):
            text = f"{about(event.seen.key)} is number {there} of DaemonSet {owner['name']} for node {node}"
            yield Violation("too many pods", text, (owner["name"],))


def _overlapping(event: Event, before: Replay, owner: Obj) -> Iterator[Violation]:
    cron = before.by_uid(owner["uid"])
    if cron is None or cron["spec"].get("concurrencyPolicy") != "Forbid":
        return
    for job in before.of(JOBS, event.seen.key[1]):
        conditions = (job.get("status") or {}).get("conditions") or ()
        done = any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)
        if (controller(job) or {}).get("uid") == owner["uid"] and not done:
            text = f"{about(event.seen.key)} was made while {job['metadata']['name']} of the same CronJob had not ended"
            yield Violation("concurrency policy", text, (owner["name"],))


def _amount(obj: Obj, field: str) -> int:
    if obj["metadata"].get("deletionTimestamp"):
        return 0
    return int(obj["spec"].get(field, 1))


def _wanted_node(pod: Obj) -> str:
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name":
                return str(one["values"][0])
    return str(pod["spec"].get("nodeName"))
