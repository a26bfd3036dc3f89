"""Evictions leave what PodDisruptionBudgets ask for, rollouts what maxUnavailable asks for.

Neither promises anything about pods that are lost otherwise (deleted by hand, on nodes given up), and both are decided by
what was known then: what was lost otherwise and perhaps not heard of yet is forgiven.
"""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.labels import Selector
from wherry.api.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from wherry.api.types import Obj
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay, controller, is_ready
from wherry.testing.simulation.story import Event, Story, about

EVICTION, ROLLOUT, OTHERWISE = "eviction", "rollout", "otherwise"


class Disruptions:
    def __init__(self, story: Story) -> None:
        self._known_since = story.known_since
        self._lost: dict[tuple[str, str], list[tuple[float, str]]] = {}
        """(namespace, label app) -> when a ready pod was lost, and to what: EVICTION, ROLLOUT, OTHERWISE."""
        self._ready_since: dict[str, float] = {}
        self._wanted: dict[str, list[tuple[float, int]]] = {}
        """uid of a Deployment -> (since when, how many must be available)."""
        self._scaled: dict[str, float] = {}
        """uid of a Deployment -> when its size changed last. A rollout that is scaled shrinks all its ReplicaSets by their
        share, also those whose pods are ready (Kubernetes' "Proportional scaling")."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        seen = event.seen
        if seen.key[0] == DEPLOYMENTS:
            self._wanted.setdefault(seen.obj["metadata"]["uid"], []).append((seen.at, least_available(seen.obj)))
            if seen.old is not None and seen.old["spec"].get("replicas") != seen.obj["spec"].get("replicas"):
                self._scaled[seen.obj["metadata"]["uid"]] = seen.at
        if seen.key[0] != PODS:
            return
        old, uid = seen.old, seen.obj["metadata"]["uid"]
        was = old is not None and is_ready(old)
        stays = seen.type != "DELETED" and is_ready(seen.obj)
        if stays and not was:
            self._ready_since[uid] = seen.at
        if old is None or not was or stays:
            return
        if event.call is not None and event.call.path.endswith("/eviction"):
            yield from self._evicted(event, before)
            to = EVICTION
        elif self._by_rollout(event, before):
            yield from self._rolled(event, before)
            to = ROLLOUT
        else:
            to = OTHERWISE
        self._lost.setdefault(_group(event), []).append((seen.at, to))

    def _forgiven(self, event: Event, judged: str) -> int:
        since = self._known_since(event.seen.at)
        return sum(then >= since and to != judged for then, to in self._lost.get(_group(event), ()))

    def _evicted(self, event: Event, before: Replay) -> Iterator[Violation]:
        namespace, pod = event.seen.key[1], event.seen.obj
        for budget in before.of(POD_DISRUPTION_BUDGETS, namespace):
            selector = Selector.from_object((budget.get("spec") or {}).get("selector"))
            if not selector.matches(pod["metadata"].get("labels")):
                continue
            left = (
                sum(
                    is_ready(one) and selector.matches(one["metadata"].get("labels"))
                    for one in before.of(PODS, namespace)
                )
                - 1
            )
            needed, forgiven = (budget.get("status") or {}).get("desiredHealthy", 0), self._forgiven(event, EVICTION)
            if left + forgiven < needed:
                name = budget["metadata"]["name"]
                text = f"eviction of {about(event.seen.key)} leaves {left} pods to {name}, which needs {needed}"
                yield Violation("disruption budget", text, (event.seen.key[2], name))

    def _by_rollout(self, event: Event, before: Replay) -> bool:
        """The ReplicaSet of a Deployment was made smaller, and took a pod it knew to be available."""
        call, ready = event.call, self._ready_since.get(event.seen.obj["metadata"]["uid"], 0.0)
        if call is None or call.method != "DELETE" or event.who not in ("replicaset-controller", "controller-manager"):
            return False
        deployment = self._deployment(event.seen.obj, before)
        if deployment is None:
            return False
        waits = deployment["spec"].get("minReadySeconds") or 0  # as long as it is not available it may go first
        return ready + waits < self._known_since(event.seen.at)

    def _deployment(self, pod: Obj, before: Replay) -> Obj | None:
        """That rolls; None where there is nothing to promise."""
        owner = controller(pod)
        replica_set = before.by_uid(owner["uid"]) if owner is not None else None
        above = controller(replica_set) if replica_set is not None else None
        deployment = before.by_uid(above["uid"]) if above is not None and above["kind"] == "Deployment" else None
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return None
        return None if deployment["spec"]["strategy"]["type"] == "Recreate" else deployment

    def _rolled(self, event: Event, before: Replay) -> Iterator[Violation]:
        deployment = self._deployment(event.seen.obj, before)
        assert deployment is not None
        uid, since = deployment["metadata"]["uid"], self._known_since(event.seen.at)
        if self._scaled.get(uid, -1.0) >= since:
            return
        history = self._wanted.get(uid) or [(0.0, least_available(deployment))]
        ends = [then for then, _ in history[1:]] + [float("inf")]
        needed = min(amount for (_, amount), end in zip(history, ends, strict=True) if end >= since)
        sets = [one for one in before.of(REPLICA_SETS, event.seen.key[1]) if (controller(one) or {}).get("uid") == uid]
        left = sum(is_ready(pod) for one in sets for pod in before.pods_of(one["metadata"]["uid"])) - 1
        if left + self._forgiven(event, ROLLOUT) < needed:
            name = deployment["metadata"]["name"]
            text = f"{about(event.seen.key)} was deleted by {event.who}: {left} are ready, deployment {name} needs {needed}"
            yield Violation("maxUnavailable", text, (name,))


def _group(event: Event) -> tuple[str, str]:
    return event.seen.key[1], (event.seen.obj["metadata"].get("labels") or {}).get("app", "")


def least_available(deployment: Obj) -> int:
    """`replicas` less maxUnavailable, as the Deployment controller reckons it: rounded down, and 1 if both are 0."""
    spec = deployment["spec"]
    replicas = int(spec.get("replicas", 1))
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    spare, surge = (
        _of(rolling.get("maxUnavailable", "25%"), replicas, up=False),
        _of(rolling.get("maxSurge", "25%"), replicas, up=True),
    )
    return replicas - min(spare or (1 if surge == 0 else 0), replicas)


def _of(amount: object, whole: int, *, up: bool) -> int:
    if isinstance(amount, str):
        percent = int(amount.removesuffix("%")) * whole
        return -(-percent // 100) if up else percent // 100
    return int(str(amount))
