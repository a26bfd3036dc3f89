"""A scenario from a seed: what users do, and what goes wrong meanwhile."""

from __future__ import annotations

import random

from wherry.testing.simulation.manifests import REPLICAS_MAX
from wherry.testing.simulation.members import ALONE, MANAGER, NODES, SCHEDULER
from wherry.testing.simulation.scenario import Fault, Operation, Scenario

NAMESPACES = ("default", "shop", "lab")
NAMES = ("a", "b", "c")
SECONDS = 60.0
OPERATIONS = (12, 40)
FAULTS = (3, 12)
CREATED = (
    ("Deployment", 6),
    ("StatefulSet", 4),
    ("DaemonSet", 2),
    ("ReplicaSet", 2),
    ("Job", 3),
    ("CronJob", 2),
    ("Service", 3),
    ("PodDisruptionBudget", 3),
    ("ResourceQuota", 1),
    ("ConfigMap", 2),
    ("Namespace", 1),
)
VERBS = (
    ("create", 14),
    ("scale", 6),
    ("image", 6),
    ("delete", 4),
    ("evict", 5),
    ("kill", 3),
    ("count", 6),
    ("touch", 3),
    ("pause", 1),
    ("cordon", 1),
    ("silence", 1),
    ("adopt", 2),
)
KINDS_OF = {
    "scale": ("Deployment", "StatefulSet", "ReplicaSet"),
    "image": ("Deployment", "StatefulSet", "DaemonSet"),
    "delete": tuple(kind for kind, _ in CREATED),
    "evict": ("Pod",),
    "kill": ("Pod",),
    "count": ("ConfigMap",),
    "touch": ("Deployment", "StatefulSet", "ReplicaSet", "Job", "Service", "Pod"),
    "pause": ("Deployment",),
    "cordon": ("Node",),
    "silence": ("Node",),
    "adopt": ("ConfigMap",),
}
FAULT_KINDS = (
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
)


def generate(seed: int) -> Scenario:
    """The same for the same seed, everywhere."""
    rng = random.Random(f"scenario {seed}")
    alone = tuple(sorted(rng.sample(ALONE, rng.randint(0, 5))))
    operations = [_operation(rng) for _ in range(rng.randint(*OPERATIONS))]
    faults = [_fault(rng, (MANAGER, NODES, SCHEDULER, *alone)) for _ in range(rng.randint(*FAULTS))]
    operations += [_first(rng, kind) for kind in ("Deployment", "ConfigMap")]
    return Scenario(
        seed,
        tuple(sorted(operations, key=lambda one: one.at)),
        tuple(sorted(faults, key=lambda one: one.at)),
        alone,
        rng.randint(1, 4),
        SECONDS,
    )


def _first(rng: random.Random, kind: str) -> Operation:
    """Something is there from the beginning."""
    return Operation(rng.random(), "create", kind, "default", NAMES[0], 3, rng.getrandbits(32))


def _weighed(rng: random.Random, choices: tuple[tuple[str, int], ...]) -> str:
    return rng.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def _operation(rng: random.Random) -> Operation:
    verb = _weighed(rng, VERBS)
    kind = _weighed(rng, CREATED) if verb == "create" else rng.choice(KINDS_OF[verb])
    # Most of it in one place and with one name: things that happen to different objects rarely meet.
    namespace = rng.choices(NAMESPACES, (6, 3, 1))[0]
    name = rng.choices(NAMES, (5, 3, 1))[0]
    if kind == "Namespace":
        namespace, name = "", rng.choice(NAMESPACES[1:])
    if kind == "Node":
        namespace = ""
    if kind == "ResourceQuota":
        namespace = "shop"
    return Operation(
        rng.uniform(1, SECONDS), verb, kind, namespace, name, rng.randint(0, REPLICAS_MAX), rng.getrandbits(32)
    )


def _fault(rng: random.Random, targets: tuple[str, ...]) -> Fault:
    kind = _weighed(rng, FAULT_KINDS)
    at, seconds, seed = rng.uniform(1, SECONDS), rng.choice([0.1, 1.0, 5.0, 20.0]) * rng.random(), rng.getrandbits(32)
    target, amount = rng.choice(targets), 0.0
    if kind == "blackout":
        target = rng.choice(["server", "server", ""])  # the API server alone, or everything
    elif kind in ("errors", "lost"):
        amount = rng.choice([0.05, 0.3, 0.9])
        target = rng.choice([*targets, ""])
    elif kind in ("late", "lag"):
        amount = rng.choice([0.05, 1.0, 10.0])
    elif kind in ("cut", "expire"):
        amount = rng.choice([0.3, 1.0])
    elif kind == "slow disk":
        target, amount = "", rng.choice([0.05, 1.0])
    elif kind == "full disk":
        target = ""
    elif kind == "clock":
        target, amount = "", rng.choice([-1, 1]) * rng.choice([1.0, 30.0, 300.0])
    return Fault(at, seconds, kind, target, amount, seed)
