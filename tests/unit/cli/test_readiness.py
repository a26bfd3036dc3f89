import pytest

from wherry.cli.readiness import State, verdict


def deployment(wanted=2, generation=1, **status):
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": wanted},
        "status": status,
    }


@pytest.mark.parametrize(
    ("obj", "state", "text"),
    [
        (deployment(), State.PROGRESSING, "0/2 updated"),
        (deployment(generation=2, observedGeneration=1), State.PROGRESSING, "waiting for its controller"),
        (
            deployment(observedGeneration=1, updatedReplicas=2, replicas=3, availableReplicas=3),
            State.PROGRESSING,
            "1 old replicas end",
        ),
        (
            deployment(observedGeneration=1, updatedReplicas=2, replicas=2, availableReplicas=1),
            State.PROGRESSING,
            "1/2 ready",
        ),
        (
            deployment(observedGeneration=1, updatedReplicas=2, replicas=2, availableReplicas=2),
            State.READY,
            "2/2 ready",
        ),
        (
            deployment(
                observedGeneration=1,
                updatedReplicas=2,
                conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            ),
            State.FAILED,
            "0/2 ready, exceeded its progress deadline",
        ),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Succeeded"}}, State.READY, "Succeeded"),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Running"}}, State.PROGRESSING, "Running"),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Failed", "reason": "Evicted"}}, State.FAILED, "Evicted"),
        (
            {
                "kind": "Job",
                "metadata": {},
                "spec": {},
                "status": {
                    "conditions": [
                        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many"}
                    ]
                },
            },
            State.FAILED,
            "BackoffLimitExceeded: too many",
        ),
        ({"kind": "PersistentVolumeClaim", "metadata": {}, "status": {"phase": "Bound"}}, State.READY, "Bound"),
        ({"kind": "ConfigMap", "metadata": {}}, State.READY, ""),
    ],
)
def test_verdict(obj, state, text):
    found = verdict(obj)
    assert (found.state, found.text) == (state, text)
