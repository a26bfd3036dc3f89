"""When pods must leave a node that has NoExecute taints, and the deletion of those whose time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wherry.aio.clock import parse_rfc3339, rfc3339
from wherry.api.resources import PODS
from wherry.api.tolerations import covers
from wherry.api.types import Obj
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_finished, is_terminating
from wherry.reconcile.writes import delete_exactly, set_pod_condition


def evict_at(pod: Obj, taints: Iterable[Obj], now: float) -> float | None:
    """When the pod must leave because of NoExecute taints, in Unix seconds; None if it may stay for good."""
    tolerations = pod["spec"].get("tolerations") or ()
    leave: float | None = None
    for taint in taints:
        if taint["effect"] != "NoExecute":
            continue
        covering = [one for one in tolerations if covers(one, taint)]
        if not covering:
            return now
        limits = [one["tolerationSeconds"] for one in covering if one.get("tolerationSeconds") is not None]
        if limits:
            since = parse_rfc3339(taint["timeAdded"]) if taint.get("timeAdded") else now
            at = since + max(min(limits), 0)
            leave = at if leave is None else min(at, leave)
    return leave


class Evictions:
    """Remembers which pods have a day on which they must go, and since when taints without a time are there."""

    def __init__(self, parts: Parts, pods_of: Callable[[str], Sequence[Obj]]) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self._pods_of = pods_of
        self._due: dict[str, set[str]] = {}
        """Node -> uids of pods that will be deleted if nothing changes."""
        self._seen: dict[str, dict[tuple[str, str], str]] = {}
        """Node -> (key, value) of a NoExecute taint somebody set without a time -> when we first saw it."""

    def forget(self, node: str) -> None:
        self._due.pop(node, None)
        self._seen.pop(node, None)

    async def perform(self, node: Obj, now: float) -> float | None:
        """Delete the pods of the node whose time is up; in how many seconds the next one's is."""
        name = node["metadata"]["name"]
        taints = self._dated(name, (node.get("spec") or {}).get("taints") or (), now)
        if not taints and name not in self._due:
            return None
        soonest: float | None = None
        before, due = self._due.pop(name, set()), set()
        for pod in self._pods_of(name):
            if is_terminating(pod) or is_finished(pod):
                continue
            uid, at = pod["metadata"]["uid"], evict_at(pod, taints, now)
            if at is None:
                if uid in before:
                    self._tell(pod, "Cancelling deletion of Pod")
            elif at > now:
                due.add(uid)
                soonest = at - now if soonest is None else min(soonest, at - now)
            else:
                self._tell(pod, "Marking for deletion Pod")
                await self._mark(pod, now)
                await delete_exactly(self._client, PODS, pod)
        if due:
            self._due[name] = due
        return soonest

    def _dated(self, node: str, taints: Iterable[Obj], now: float) -> list[Obj]:
        """The NoExecute taints, each with a time: `kubectl taint` sets none."""
        known = self._seen.pop(node, {})
        dated: list[Obj] = []
        for one in taints:
            if one["effect"] != "NoExecute":
                continue
            key = (one["key"], one.get("value") or "")
            if not one.get("timeAdded"):
                since = self._seen.setdefault(node, {})[key] = known.get(key) or rfc3339(now)
                dated.append({**one, "timeAdded": since})
            else:
                dated.append(one)
        return dated

    def _tell(self, pod: Obj, what: str) -> None:
        metadata = pod["metadata"]
        text = f"{what} {metadata['namespace']}/{metadata['name']}"
        self._recorder.event(pod, "Normal", "TaintManagerEviction", text)

    async def _mark(self, pod: Obj, now: float) -> None:
        """Say in the pod why it goes: a Job's failure policy reads it."""
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": rfc3339(now),
        }
        await set_pod_condition(self._client, pod, target)
