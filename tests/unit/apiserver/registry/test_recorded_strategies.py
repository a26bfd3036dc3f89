"""Every recorded write of a built-in kind gets the recorded answer: defaults, causes, warnings, status."""

from __future__ import annotations

import pytest
from recorded_exchanges import EXCHANGES, replay

SCENARIOS = [
    "configmap-validation",
    "cronjob-defaults",
    "daemonset-defaults",
    "daemonset-rules",
    "daemonset-selector",
    "delete-finalizers",
    "deployment-selector",
    "deployment-strategy",
    "dry-run",
    "endpointslice",
    "generate-name",
    "hpa",
    "job-update",
    "job-validation",
    "name-edge-cases",
    "namespace-objects",
    "namespace-terminating",
    "networkpolicy",
    "nodes",
    "pdb",
    "pod-binding",
    "pod-defaults",
    "pod-deprecated-warnings",
    "pod-env-invalid",
    "pod-ephemeralcontainers",
    "pod-graceful-delete",
    "pod-metadata-names",
    "pod-ports-duplicate-warning",
    "pod-ports-invalid",
    "pod-probes-invalid",
    "pod-resize",
    "pod-resources-invalid",
    "pod-scheduling-invalid",
    "pod-spec-enums",
    "pod-status",
    "pod-volumes-invalid",
    "podtemplate",
    "pvc",
    "rbac-validation",
    "replicaset-defaults",
    "resourcequota",
    "runtimeclass-lease-event",
    "scale-subresource",
    "secret-stringdata-merge",
    "service-defaults",
    "service-ports-invalid",
    "service-spec-invalid",
    "service-update",
    "statefulset-rules",
    "statefulset-selector",
    "status-subresource",
    "storageclass",
]

EMPTY_MAP = "an empty map and an absent one are the same here, so the text shows null"
VIEW = "an accident of how the recording looked at the answer"
OTHER_VERSION = "served through another version of the kind, whose conversion is not this layer's"
DEVIATIONS = {
    ("daemonset-selector", 3): EMPTY_MAP,
    ("deployment-selector", 3): EMPTY_MAP,
    ("statefulset-selector", 3): EMPTY_MAP,
    ("hpa", 15): "an empty list of policies is an absent one here, and gets the defaults",
    ("hpa", 17): OTHER_VERSION,
    ("runtimeclass-lease-event", 12): OTHER_VERSION,
    ("runtimeclass-lease-event", 13): OTHER_VERSION,
    ("pod-deprecated-warnings", 9): VIEW,
    ("pod-status", 1): VIEW,
}


def test_every_copied_scenario_is_replayed() -> None:
    assert {path.stem for path in EXCHANGES.glob("*.json")} >= set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_recorded(name: str) -> None:
    outcomes = await replay(name)
    assert outcomes, "nothing of this scenario belongs here"
    wrong = [
        f"{outcome.index} {outcome.note}: {problem}"
        for outcome in outcomes
        if (name, outcome.index) not in DEVIATIONS
        for problem in outcome.problems
    ]
    assert wrong == []
    fixed = [o.index for o in outcomes if (name, o.index) in DEVIATIONS and not o.problems]
    assert fixed == [], "these no longer deviate: strike them from the list"
