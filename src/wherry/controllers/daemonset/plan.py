"""What a DaemonSet wants done: pods for nodes without one, none where none belongs, and the next step of an update. Pure.

`manage` keeps one pod per node; only when it has nothing to do does `roll` replace outdated ones. Without surge old pods
are deleted first (up to maxUnavailable at a time); with surge the new pod comes first (up to maxSurge nodes with two).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from wherry.api.intstr import scaled_value
from wherry.api.types import Obj
from wherry.controllers.daemonset.nodes import Needs, judge
from wherry.controllers.daemonset.pods import is_updated
from wherry.reconcile.pods import is_available, is_ready, is_terminating, phase

BURST = 250
"""kube-controller-manager's BurstReplicas for DaemonSets."""


class Plan(Struct):
    """`create`: names of nodes; `delete`: pods; `ended`: those of `delete` that failed or succeeded by themselves."""

    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    ended: list[Obj] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not self.create and not self.delete


class View(Struct, frozen=True):
    """One look: the set, its update hash, its pods by node, and the nodes there are with what `judge` says of each."""

    daemonset: Obj
    hash: str
    pods: Mapping[str, Sequence[Obj]]
    verdicts: Mapping[str, tuple[bool, bool]]
    now: float

    @classmethod
    def of(
        cls, daemonset: Obj, hash_value: str, pods: Mapping[str, Sequence[Obj]], nodes: Iterable[Obj], now: float
    ) -> View:
        needs = Needs.of(daemonset)
        verdicts = {node["metadata"]["name"]: judge(needs, node) for node in nodes}
        return cls(daemonset, hash_value, pods, verdicts, now)

    @property
    def desired(self) -> int:
        return sum(should_run for should_run, _ in self.verdicts.values())

    def available(self, pod: Obj) -> bool:
        return is_available(pod, self.daemonset["spec"].get("minReadySeconds") or 0, self.now)


def budgets(daemonset: Obj, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; shares are rounded up, and one of the two is at least 1."""
    rolling = (daemonset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge") or 0, desired, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return surge, unavailable if surge or unavailable else 1


def plan(view: View) -> Plan:
    """What to do now."""
    if "deletionTimestamp" in view.daemonset["metadata"]:
        return Plan()
    result = manage(view)
    if result.nothing and (view.daemonset["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        result = roll(view)
    return Plan(result.create[:BURST], result.delete[:BURST], result.ended)


def manage(view: View) -> Plan:
    """One pod on each node that should have one, none elsewhere."""
    surges = budgets(view.daemonset, view.desired)[0] > 0
    result = Plan()
    for name, (should_run, may_stay) in view.verdicts.items():
        pods = view.pods.get(name, ())
        if should_run and not pods:
            result.create.append(name)
        elif may_stay:
            _keep_one(view, name, pods, result, should_run=should_run, surges=surges)
        else:
            result.delete += (pod for pod in pods if not is_terminating(pod))
    for name, pods in view.pods.items():
        if name not in view.verdicts:
            # Its node is gone before it got there; pods that were placed are the pod garbage collector's.
            result.delete += (pod for pod in pods if not pod["spec"].get("nodeName") and not is_terminating(pod))
    return result


def _keep_one(view: View, node: str, pods: Sequence[Obj], result: Plan, *, should_run: bool, surges: bool) -> None:
    running: list[Obj] = []
    for pod in pods:
        if is_terminating(pod):
            continue
        if phase(pod) in ("Failed", "Succeeded"):
            result.ended.append(pod)
            result.delete.append(pod)
        else:
            running.append(pod)
    if not surges:
        result.delete += running[1:]
    elif not running:
        # While one goes the next may come already; one that ended by itself is cleared away first.
        if should_run and not any(phase(pod) in ("Failed", "Succeeded") for pod in pods):
            result.create.append(node)
    elif len(running) > 1:
        result.delete += _surplus(view, running)


def _surplus(view: View, running: Sequence[Obj]) -> list[Obj]:
    """An old pod and a new one may share a node while the old one is ready and the new one is not available yet."""
    new = next((pod for pod in running if is_updated(pod, view.hash)), None)
    old = next((pod for pod in running if not is_updated(pod, view.hash)), None)
    surplus = [pod for pod in running if pod is not new and pod is not old]
    if new is not None and old is not None and (not is_ready(old) or view.available(new)):
        surplus.append(old)
    return surplus


def roll(view: View) -> Plan:
    """The next step of a rolling update."""
    surge, unavailable = budgets(view.daemonset, view.desired)
    return _roll_by_surge(view, surge) if surge else _roll_by_deletion(view, unavailable)


def _roll_by_deletion(view: View, budget: int) -> Plan:
    missing = 0
    broken: list[Obj] = []
    candidates: list[Obj] = []
    for pods in view.pods.values():
        clear, new, old = _pair(view, pods)
        if not clear or (new is None) == (old is None):
            missing += 1  # `manage` brings this node in order first
        elif new is not None:
            missing += not view.available(new)
        elif old is not None:
            (candidates if view.available(old) else broken).append(old)
    # An outdated pod that does not serve is replaced whatever the budget says, and is one of those it counts.
    return Plan(delete=[*broken, *candidates[: max(budget - missing - len(broken), 0)]])


def _roll_by_surge(view: View, budget: int) -> Plan:
    surging = 0
    result = Plan()
    candidates: list[str] = []
    for node, pods in view.pods.items():
        clear, new, old = _pair(view, pods)
        if not clear:
            surging += 1
        elif old is not None and new is None:
            if not view.verdicts.get(node, (False, False))[0]:
                continue  # it may stay, but nothing new is started there
            (candidates if view.available(old) else result.create).append(node)
        elif old is not None and new is not None:
            if view.available(new):
                result.delete.append(old)
            else:
                surging += 1
    result.create += candidates[: max(budget - surging, 0)]
    return result


def _pair(view: View, pods: Sequence[Obj]) -> tuple[bool, Obj | None, Obj | None]:
    """(there is at most one of each, the updated pod, the outdated pod); what is being deleted does not count."""
    alive = [pod for pod in pods if not is_terminating(pod)]
    new = [pod for pod in alive if is_updated(pod, view.hash)]
    old = [pod for pod in alive if not is_updated(pod, view.hash)]
    clear = len(new) <= 1 and len(old) <= 1
    return clear, new[0] if new else None, old[0] if old else None
