"""A scenario from a seed: what users do, and what goes wrong meanwhile."""

from __future__ import annotations

import random

from wherry.testing.simulation.manifests import REPLICAS_MAX
from wherry.testing.simulation.members import AGENT, MANAGER, NODES, SCHEDULER
from wherry.testing.simulation.scenario import Fault, Operation, Scenario
from wherry.testing.simulation.themes import ALONE, KINDS, Theme, Weights, theme_of

NAMESPACES = ("default", "shop", "lab")
NAMES = ("a", "b")
SECONDS = 40.0
OPERATIONS = (15, 50)
FAULTS = (3, 14)
WINDOWS = (4096, 4096, 512)
"""The smaller one is soon full, and whoever was away for long must list again."""
SHORT = (0.2, 1.0, 5.0, 15.0)
LONG = (5.0, 20.0)
"""How many seconds a fault lasts at most."""
NODES_MAX = 4
QUIET_SECONDS = 3.0
"""Until things go wrong: what is not there cannot suffer."""
FIRST = (2, 5)
"""How many kinds are there from the beginning: what happens to nothing finds nothing."""
KINDS_OF = {
    "scale": ("Deployment", "StatefulSet", "ReplicaSet"),
    "image": ("Deployment", "StatefulSet", "DaemonSet"),
    "delete": tuple(kind for kind, _ in KINDS),
    "evict": ("Pod",),
    "kill": ("Pod",),
    "count": ("ConfigMap",),
    "touch": ("Deployment", "StatefulSet", "ReplicaSet", "Job", "Service", "Pod"),
    "pause": ("Deployment",),
    "cordon": ("Node",),
    "silence": ("Node",),
    "adopt": ("ConfigMap",),
}


def generate(seed: int) -> Scenario:
    """The same for the same seed, everywhere."""
    rng, theme = random.Random(f"scenario {seed}"), theme_of(seed)
    others = [name for name in ALONE if name not in theme.alone]
    alone = {name for name in theme.alone if name != SCHEDULER} | set(rng.sample(others, rng.randint(0, 4) // 2))
    nodes = rng.randint(1, NODES_MAX)
    agents = [f"{AGENT}{number}" for number in rng.sample(range(nodes), rng.randint(0, nodes))]
    rest = (NODES,) if len(agents) < nodes else ()
    targets = (MANAGER, *rest, SCHEDULER, *sorted(alone), *sorted(agents), *theme.alone, *theme.alone)
    kinds = {_weighed(rng, theme.kinds) for _ in range(rng.randint(*FIRST))} - {"Namespace"} | {theme.kinds[0][0]}
    operations = [Operation(0.0, "create", "Namespace", "", "shop", 0, 0)]
    operations += [_first(rng, kind, theme) for kind in sorted(kinds)]
    operations += [_operation(rng, kinds, theme) for _ in range(rng.randint(*OPERATIONS))]
    faults = [_fault(rng, targets, theme) for _ in range(rng.randint(*FAULTS))]
    return Scenario(
        seed,
        tuple(sorted(operations, key=lambda one: one.at)),
        tuple(sorted(faults, key=lambda one: one.at)),
        (*sorted(alone), *sorted(agents)),
        nodes,
        SECONDS,
        rng.choice(WINDOWS),
    )


def _first(rng: random.Random, kind: str, theme: Theme) -> Operation:
    """Something is there from the beginning."""
    namespace = "shop" if kind == "ResourceQuota" else theme.namespace or "default"
    return Operation(
        rng.uniform(0.5, QUIET_SECONDS), "create", kind, namespace, NAMES[0], rng.randint(2, 5), rng.getrandbits(32)
    )


def _weighed(rng: random.Random, choices: Weights) -> str:
    return rng.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def _operation(rng: random.Random, kinds: set[str], theme: Theme) -> Operation:
    """Most of it in one place, with one name and of a kind that is there: what happens to different objects rarely meets."""
    verb = _weighed(rng, theme.verbs)
    there = [kind for kind in KINDS_OF.get(verb, ()) if kind in kinds]
    kind = _weighed(rng, theme.kinds) if verb == "create" else rng.choice(there or KINDS_OF[verb])
    namespace = theme.namespace or rng.choices(NAMESPACES, (8, 2, 1))[0]
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


def _fault(rng: random.Random, targets: tuple[str, ...], theme: Theme) -> Fault:
    kind = _weighed(rng, theme.faults)
    at, seed = rng.uniform(QUIET_SECONDS, SECONDS), rng.getrandbits(32)
    seconds = rng.choice(LONG if kind in ("lag", "lost", "errors", "twin", "hasty") else SHORT) * rng.uniform(0.3, 1)
    target, amount = rng.choice(targets), 0.0
    if kind == "blackout":
        target = rng.choice(["server", "server", ""])  # the API server alone, or everything
        amount = float(rng.random() < 0.7)  # in the midst of a write
    elif kind == "twin":
        target = SCHEDULER  # of the others there may be one only, as in Kubernetes
    elif kind == "hasty":
        target, amount = rng.choice(["users", "users", target]), rng.choice([0.3, 0.9])
    elif kind in ("errors", "lost"):
        amount = rng.choice([0.05, 0.3, 0.9])
        target = rng.choice([*targets, ""])
    elif kind in ("late", "lag"):
        amount = rng.choice([0.05, 1.0, 5.0, 10.0])
        target = rng.choice([target, ""])
    elif kind in ("cut", "expire"):
        amount = rng.choice([0.3, 1.0])
    elif kind == "slow disk":
        target, amount = "", rng.choice([0.05, 1.0])
    elif kind == "full disk":
        target = ""
    elif kind == "clock":
        target, amount = "", rng.choice([-1, 1]) * rng.choice([1.0, 30.0, 300.0])
    return Fault(at, seconds, kind, target, amount, seed)
