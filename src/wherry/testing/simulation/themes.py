"""What a scenario is about. Things that could go wrong together must meet, and among everything they rarely do: each seed
therefore dwells on a part of the system, and every seventh on all of it."""

from __future__ import annotations

from dataclasses import dataclass

Weights = tuple[tuple[str, int], ...]

KINDS: Weights = (
    ("Deployment", 8),
    ("StatefulSet", 5),
    ("DaemonSet", 3),
    ("ReplicaSet", 2),
    ("Job", 4),
    ("CronJob", 2),
    ("Service", 4),
    ("PodDisruptionBudget", 5),
    ("ResourceQuota", 2),
    ("ConfigMap", 3),
    ("Namespace", 1),
)
VERBS: Weights = (
    ("create", 8),
    ("scale", 8),
    ("image", 6),
    ("delete", 3),
    ("evict", 6),
    ("kill", 3),
    ("count", 4),
    ("touch", 4),
    ("pause", 1),
    ("cordon", 1),
    ("silence", 1),
    ("adopt", 3),
)
FAULTS: Weights = (
    ("crash", 5),
    ("blackout", 2),
    ("errors", 3),
    ("lost", 2),
    ("late", 2),
    ("lag", 4),
    ("cut", 2),
    ("expire", 2),
    ("slow disk", 1),
    ("full disk", 1),
    ("clock", 1),
    ("twin", 1),
    ("hasty", 2),
)
ALONE = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "cronjob-controller",
    "endpoint-controller",
    "endpoint-slice-controller",
    "garbage-collector",
    "namespace-controller",
    "disruption-controller",
    "resourcequota-controller",
    "node-controller",
    "pod-garbage-collector",
    "ttl-after-finished-controller",
    "serviceaccount-controller",
    "root-ca",
    "ip-addresses",
    "service-cidr",
    "clusterrole-aggregation-controller",
    "flow-schema",
)
"""Which controllers may stand alone: those that have work here. The scheduler always does."""


@dataclass(frozen=True, slots=True)
class Theme:
    """How often what is drawn; `alone` are apart and suffer most. `namespace`: where everything is."""

    name: str
    kinds: Weights = KINDS
    verbs: Weights = VERBS
    faults: Weights = FAULTS
    alone: tuple[str, ...] = ()
    namespace: str = ""


THEMES = (
    Theme("everything"),
    Theme(
        "rollouts",
        (("Deployment", 6), ("PodDisruptionBudget", 3), ("StatefulSet", 2), ("DaemonSet", 1)),
        (("image", 6), ("scale", 5), ("evict", 4), ("kill", 1), ("touch", 2), ("pause", 1), ("delete", 1)),
        (("lag", 6), ("lost", 3), ("crash", 3), ("errors", 2), ("late", 2), ("cut", 1)),
        ("deployment-controller", "replicaset-controller", "disruption-controller"),
        "default",
    ),
    Theme(
        "scheduling",
        (("Deployment", 4), ("ReplicaSet", 3), ("DaemonSet", 1)),
        (("scale", 8), ("kill", 4), ("cordon", 2), ("silence", 1), ("create", 2)),
        (("twin", 4), ("lost", 3), ("lag", 4), ("crash", 3), ("slow disk", 2), ("cut", 1)),
        ("scheduler",),
        "default",
    ),
    Theme(
        "garbage",
        (("Deployment", 3), ("ReplicaSet", 2), ("StatefulSet", 2), ("ConfigMap", 1), ("Namespace", 1), ("Job", 1)),
        (("adopt", 6), ("delete", 5), ("create", 4), ("scale", 1)),
        (("lag", 6), ("crash", 3), ("cut", 2), ("expire", 2), ("errors", 2), ("late", 2)),
        ("garbage-collector", "namespace-controller"),
    ),
    Theme(
        "storage",
        (("ConfigMap", 4), ("Deployment", 2), ("Service", 1)),
        (("count", 8), ("touch", 4), ("scale", 2), ("create", 1), ("delete", 1)),
        (("blackout", 6), ("slow disk", 4), ("full disk", 3), ("lost", 1), ("hasty", 4), ("clock", 1)),
        (),
        "default",
    ),
    Theme(
        "jobs",
        (("Job", 5), ("CronJob", 4)),
        (("create", 6), ("delete", 3), ("touch", 3), ("kill", 1)),
        (("lag", 4), ("crash", 4), ("lost", 3), ("clock", 2), ("blackout", 1), ("errors", 2)),
        ("job-controller", "cronjob-controller", "ttl-after-finished-controller"),
    ),
    Theme(
        "quotas",
        (("ResourceQuota", 4), ("Deployment", 3), ("ConfigMap", 2), ("StatefulSet", 1)),
        (("scale", 6), ("kill", 4), ("create", 4), ("adopt", 3), ("delete", 2)),
        (("lag", 5), ("lost", 3), ("crash", 3), ("late", 2), ("blackout", 2), ("slow disk", 2), ("hasty", 4)),
        ("resourcequota-controller", "replicaset-controller"),
        "shop",
    ),
)


def theme_of(seed: int) -> Theme:
    return THEMES[seed % len(THEMES)]


def seeds_of(name: str, count: int) -> list[int]:
    """The first seeds that are about it."""
    [first] = [number for number, theme in enumerate(THEMES) if theme.name == name]
    return [first + number * len(THEMES) for number in range(count)]
