"""Which ReplicaSet is the new one, what revision it has, and the annotations that record it. Pure.

`kubectl rollout history` and `undo` read these annotations; nothing else remembers past templates than the old
ReplicaSets themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.api.types import Obj
from wherry.controllers.deployment.template import HASH_LABEL, same_template, template_hash, with_hash
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import created_at

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations that mean something on one object only; all others go from the Deployment to its newest ReplicaSet."""

HISTORY_CHARACTERS_MAX = 2000
"""kube-controller-manager's bound on the revision-history annotation; the oldest entries are dropped."""


def annotations_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def find_new(deployment: Obj, sets: Iterable[Obj]) -> Obj | None:
    """The ReplicaSet with the Deployment's present template; of several (a past accident) always the oldest."""
    template = deployment["spec"]["template"]
    same = [one for one in sets if same_template(one["spec"]["template"], template)]
    return min(same, key=lambda one: (created_at(one), one["metadata"]["name"]), default=None)


def revision(obj: Obj) -> int:
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(old: Sequence[Obj]) -> int:
    """One more than any older ReplicaSet's: a rollback moves its ReplicaSet to the end of the history."""
    return max((revision(one) for one in old), default=0) + 1


def new_replica_set(deployment: Obj, number: int) -> Obj:
    """The ReplicaSet of the present template, without pods yet (`spec.replicas` 0) and without size annotations."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    value = template_hash(spec["template"], deployment.get("status", {}).get("collisionCount"))
    template = with_hash(spec["template"], value)
    selector = spec["selector"]
    new: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{value}",
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [controller_ref(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: value}},
            "template": template,
        },
    }
    if spec.get("minReadySeconds"):
        new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return recorded(deployment, new, number)


def recorded(deployment: Obj, new: Obj, number: int) -> Obj:
    """`new` with the Deployment's annotations and at least revision `number`; the same object if nothing changes."""
    before = annotations_of(new)
    after = dict(before)
    after.update({key: value for key, value in annotations_of(deployment).items() if key not in NOT_COPIED})
    if revision(new) < number:
        if REVISION in before:
            after[REVISION_HISTORY] = _history(before.get(REVISION_HISTORY, ""), before[REVISION])
        after[REVISION] = str(number)
    spec = new["spec"]
    min_ready = deployment["spec"].get("minReadySeconds") or 0
    if (spec.get("minReadySeconds") or 0) != min_ready:
        spec = {**spec, "minReadySeconds": min_ready}
    if after == before and spec is new["spec"]:
        return new
    return {**new, "metadata": {**new["metadata"], "annotations": after}, "spec": spec}


def resized(deployment: Obj, one: Obj, size: int, max_replicas: int) -> Obj:
    """`one` asking for `size` pods, with the annotations that say of what whole it is a part."""
    wanted = {DESIRED_REPLICAS: str(deployment["spec"].get("replicas", 1)), MAX_REPLICAS: str(max_replicas)}
    before = annotations_of(one)
    if one["spec"].get("replicas") == size and all(before.get(key) == value for key, value in wanted.items()):
        return one
    metadata = {**one["metadata"], "annotations": {**before, **wanted}}
    return {**one, "metadata": metadata, "spec": {**one["spec"], "replicas": size}}


def to_clean_up(deployment: Obj, old: Sequence[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond revisionHistoryLimit, lowest revision first, that surely have no pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = sorted((one for one in old if "deletionTimestamp" not in one["metadata"]), key=revision)
    return [one for one in alive[: max(len(alive) - limit, 0)] if _is_empty(one)]


def _is_empty(one: Obj) -> bool:
    status = one.get("status", {})
    seen = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
    return seen and not status.get("replicas") and not one["spec"].get("replicas")


def _history(history: str, past: str) -> str:
    entries = [*history.split(","), past] if history else [past]
    while len(",".join(entries)) > HISTORY_CHARACTERS_MAX:
        entries.pop(0)
    return ",".join(entries)
