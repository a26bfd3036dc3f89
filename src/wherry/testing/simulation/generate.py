"""A scenario from a seed: what users do, and what goes wrong meanwhile."""

from __future__ import annotations

import random

from wherry.testing.simulation.manifests import REPLICAS_MAX
from wherry.testing.simulation.members import ALONE, MANAGER, NODES, SCHEDULER
from wherry.testing.simulation.scenario import Fault, Operation, Scenario

NAMESPACES = ("default", "shop", "lab")
NAMES = ("a", "b")
SECONDS = 40.0
OPERATIONS = (15, 50)
FAULTS = (3, 14)
CREATED = (
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
FIRST = (2, 5)
"""How many kinds are there from the beginning: what happens to nothing finds nothing."""
VERBS = (
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
    kinds = {_weighed(rng, CREATED) for _ in range(rng.randint(*FIRST))} - {"Namespace"} | {"Deployment", "ConfigMap"}
    operations = [_first(rng, kind) for kind in sorted(kinds)]
    operations += [_operation(rng, kinds) for _ in range(rng.randint(*OPERATIONS))]
    faults = [_fault(rng, (MANAGER, NODES, SCHEDULER, *alone)) for _ in range(rng.randint(*FAULTS))]
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
    namespace = "shop" if kind == "ResourceQuota" else "default"
    return Operation(rng.uniform(0, 5), "create", kind, namespace, NAMES[0], rng.randint(2, 5), rng.getrandbits(32))


def _weighed(rng: random.Random, choices: tuple[tuple[str, int], ...]) -> str:
    return rng.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def _operation(rng: random.Random, kinds: set[str]) -> Operation:
    """Most of it in one place, with one name and of a kind that is there: what happens to different objects rarely meets."""
    verb = _weighed(rng, VERBS)
    there = [kind for kind in KINDS_OF.get(verb, ()) if kind in kinds]
    kind = _weighed(rng, CREATED) if verb == "create" else rng.choice(there or KINDS_OF[verb])
    namespace = rng.choices(NAMESPACES, (8, 2, 1))[0]
    name = rng.choices(NAMES, (4, 1))[0]
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
