"""What a Deployment wants done with its ReplicaSets, decided from one look at them. Pure.

    paused, or replicas changed    resize what is there in proportion, create nothing
    Recreate                       old ones to 0; once their pods are gone, the new one to full size
    RollingUpdate                  new one up and old ones down as far as maxSurge and maxUnavailable allow

The result is a list of objects to create, store and delete, in an order that is safe to stop in at any point.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from wherry.api.intstr import scaled_value
from wherry.api.types import Obj
from wherry.controllers.deployment import revisions
from wherry.controllers.deployment.sizes import Bounds, Sized, new_size, old_sizes, proportional
from wherry.reconcile.pods import created_at


class Plan(Struct):
    """`new` is the ReplicaSet of the present template as it should be, whether it exists or is in `create`."""

    create: Obj | None = None
    update: list[tuple[Obj, Obj]] = field(default_factory=list)
    """(as it is, as it should be), in this order."""
    delete: list[Obj] = field(default_factory=list)
    revision: str = ""
    """What the Deployment's own revision annotation should say; "" leaves it."""


def bounds(deployment: Obj) -> Bounds:
    """The strategy's numbers for the present size: surge rounded up, unavailable rounded down, never both zero."""
    spec = deployment["spec"]
    replicas = replicas_of(deployment)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Bounds(replicas, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        # Both may be 0 after rounding; then nothing would ever move.
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def is_complete(deployment: Obj, status: Obj | None = None) -> bool:
    """By its status (or the one given) the present template runs everywhere, at full size, and nothing else does."""
    status = deployment.get("status", {}) if status is None else status
    replicas = replicas_of(deployment)
    seen: bool = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return seen and all(status.get(key, 0) == replicas for key in ("updatedReplicas", "replicas", "availableReplicas"))


def sized(one: Obj) -> Sized:
    """Of pods that its status still counts and its spec no longer asks for some are gone, whoever reads this first."""
    text = revisions.annotations_of(one).get(revisions.MAX_REPLICAS, "")
    return Sized(
        one["metadata"]["name"],
        replicas_of(one),
        min(one.get("status", {}).get("availableReplicas", 0), replicas_of(one)),
        created_at(one),
        int(text) if text.isdigit() else None,
    )


def replicas_of(one: Obj) -> int:
    replicas = one["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def plan(deployment: Obj, sets: Sequence[Obj], *, old_pods_run: bool) -> Plan:
    """`sets` are the ReplicaSets it controls; `old_pods_run`: pods of another than the present template still run."""
    if "deletionTimestamp" in deployment["metadata"]:
        return Plan()
    return _Planner(deployment, sets).run(old_pods_run)


class _Planner:
    """Works on drafts by name; what differs in the end becomes the plan."""

    def __init__(self, deployment: Obj, sets: Sequence[Obj]) -> None:
        self.deployment = deployment
        self.bounds = bounds(deployment)
        self.sets = {one["metadata"]["name"]: one for one in sets}
        self.drafts = dict(self.sets)
        new = revisions.find_new(deployment, sets)
        self.new_name = new["metadata"]["name"] if new is not None else ""
        self.old = [one for one in sets if one["metadata"]["name"] != self.new_name]
        self.number = revisions.next_revision(self.old)
        if new is not None:
            self.drafts[self.new_name] = revisions.recorded(deployment, new, self.number)

    def run(self, old_pods_run: bool) -> Plan:
        spec = self.deployment["spec"]
        done: list[Obj] = []
        if spec.get("paused"):
            self.scale()
            done = revisions.to_clean_up(self.deployment, self.old)
        elif self.is_scaling():
            self.scale()
        elif (spec.get("strategy") or {}).get("type") == "Recreate":
            self.recreate(old_pods_run)
        else:
            self.roll()
        if not spec.get("paused") and is_complete(self.deployment):
            done = revisions.to_clean_up(self.deployment, self.old)
        return self.result(done)

    def is_scaling(self) -> bool:
        """`replicas` changed since some active ReplicaSet was last sized."""
        wanted = str(self.bounds.replicas)
        return any(
            revisions.annotations_of(one).get(revisions.DESIRED_REPLICAS, wanted) != wanted
            for one in self.sets.values()
            if replicas_of(one) > 0
        )

    def resize(self, name: str, size: int) -> None:
        self.drafts[name] = revisions.resized(self.deployment, self.drafts[name], size, self.bounds.total_max)

    def create_new(self) -> None:
        if not self.new_name:
            new = revisions.new_replica_set(self.deployment, self.number)
            self.new_name = new["metadata"]["name"]
            self.drafts[self.new_name] = new

    def roll(self) -> None:
        self.create_new()
        total = sum(replicas_of(one) for one in self.drafts.values())
        self.resize(self.new_name, new_size(self.bounds, sized(self.drafts[self.new_name]), total))
        old = [sized(one) for one in self.old]
        for name, size in old_sizes(self.bounds, sized(self.drafts[self.new_name]), old).items():
            self.resize(name, size)

    def recreate(self, old_pods_run: bool) -> None:
        active = [one["metadata"]["name"] for one in self.old if replicas_of(one) > 0]
        for name in active:
            self.resize(name, 0)
        if not active and not old_pods_run:
            self.create_new()
            self.resize(self.new_name, self.bounds.replicas)

    def scale(self) -> None:
        active = [name for name, one in self.drafts.items() if replicas_of(one) > 0]
        if len(active) <= 1:
            name = active[0] if active else self.new_name or self.latest_old()
            if name:
                self.resize(name, self.bounds.replicas)
            return
        if self.new_is_saturated():
            for name in active:
                if name != self.new_name:
                    self.resize(name, 0)
        elif (self.deployment["spec"].get("strategy") or {}).get("type") != "Recreate":
            status_replicas = self.deployment.get("status", {}).get("replicas", 0)
            sets = [sized(self.drafts[name]) for name in active]
            for name, size in proportional(self.bounds, sets, status_replicas).items():
                self.resize(name, size)

    def latest_old(self) -> str:
        latest = max(self.old, key=lambda one: (created_at(one), one["metadata"]["name"]), default=None)
        return latest["metadata"]["name"] if latest is not None else ""

    def new_is_saturated(self) -> bool:
        """The new one has the full size, has had it before this change, and all its pods are available."""
        new = self.sets.get(self.new_name)
        if new is None:
            return False
        wanted = self.bounds.replicas
        return (
            replicas_of(new) == wanted
            and revisions.annotations_of(new).get(revisions.DESIRED_REPLICAS) == str(wanted)
            and sized(new).available == wanted
        )

    def result(self, delete: list[Obj]) -> Plan:
        plan = Plan(delete=delete)
        deleted = {one["metadata"]["name"] for one in delete}
        order = sorted(self.drafts, key=lambda name: name != self.new_name)
        for name in order:
            before, after = self.sets.get(name), self.drafts[name]
            if before is None:
                plan.create = after
            elif after is not before and name not in deleted:
                plan.update.append((before, after))
        if self.new_name:
            wanted = revisions.annotations_of(self.drafts[self.new_name]).get(revisions.REVISION, "")
            if revisions.annotations_of(self.deployment).get(revisions.REVISION) != wanted:
                plan.revision = wanted
        return plan
