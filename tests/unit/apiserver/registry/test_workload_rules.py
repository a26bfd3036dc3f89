"""Jobs, CronJobs and sets of pods: what Kubernetes refuses beyond the recorded exchanges, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import Probe, changed
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.registry.validation import job_indexes

POD: Obj = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
LABELLED: Obj = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
INDEXED: Obj = {"completionMode": "Indexed", "completions": 5, "parallelism": 1, "template": {"spec": POD}}
PROBES = {
    "job": Probe(GVR("batch", "v1", "jobs"), {"spec": {"template": {"spec": POD}}}),
    "indexed": Probe(GVR("batch", "v1", "jobs"), {"spec": INDEXED}),
    "cron": Probe(
        GVR("batch", "v1", "cronjobs"),
        {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}}},
    ),
    "stateful": Probe(
        GVR("apps", "v1", "statefulsets"), {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": LABELLED}}
    ),
    "deployment": Probe(
        GVR("apps", "v1", "deployments"), {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": LABELLED}}
    ),
    "runtime": Probe(GVR("node.k8s.io", "v1", "runtimeclasses"), {"handler": "h"}),
    "autoscaler": Probe(
        GVR("autoscaling", "v2", "horizontalpodautoscalers"),
        {"spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
    ),
}
METRIC = "spec.metrics[0]"
SOURCES = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'
PER_POD = {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}
BOTH, NONE = {"type": "Value", "value": "1", "averageValue": "1"}, {"type": "Value"}
IT = {"kind": "Service", "name": "s"}
FAILURE = "spec.podFailurePolicy.rules"
RULE = {"action": "Count", "onPodConditions": [{"type": "A"}]}
MANY = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"
INDEXES = "spec.successPolicy.rules[0].succeededIndexes"
REFUSED: list[tuple[str, str, Any, str]] = [
    ("autoscaler", "spec.behavior", {"scaleDown": {"tolerance": "-0.1"}},
     'spec.behavior.scaleDown.tolerance: Invalid value: "-100m": must be greater than or equal to 0'),
    ("job", "spec.maxFailedIndexes", 1, (
     "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified\n"
     "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode")),
    ("indexed", "spec", {**INDEXED, "completions": 200000, "parallelism": 20000, "backoffLimitPerIndex": 1}, (
     "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000\n"
     f"spec.parallelism: Invalid value: 20000: {MANY}")),
    ("job", "spec.managedBy", "a.b/" + "c" * 60, "spec.managedBy: Too long: may not be more than 63 bytes"),
    ("job", "spec.managedBy", "A.b/c", (
     'spec.managedBy: Invalid value: "A.b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '
     "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
     "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")),
    ("job", "spec.podFailurePolicy", {"rules": [{"onExitCodes": {"values": []}}]}, (
     f'{FAILURE}[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]\n'
     f'{FAILURE}[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"]\n'
     f"{FAILURE}[0].onExitCodes.values: Invalid value: []: at least one value is required")),
    ("job", "spec.podFailurePolicy", {"rules": [RULE] * 21}, f"{FAILURE}: Too many: 21: must have at most 20 items"),
    ("job", "spec.podFailurePolicy", {"rules": [{**RULE, "onPodConditions": [{"type": "A"}] * 21}]},
     f"{FAILURE}[0].onPodConditions: Too many: 21: must have at most 20 items"),
    ("job", "spec.successPolicy", {"rules": [{"succeededCount": 1}]}, (
     'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: '
     "requires indexed completion mode")),
    ("indexed", "spec.successPolicy", {"rules": [{"succeededIndexes": "1,x"}]}, (
     f'{INDEXES}: Invalid value: "1,x": error parsing succeededIndexes: cannot convert string to integer for index: "x"')),
    ("indexed", "spec.successPolicy", {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}, (
     "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 "
     "(the number of indexes in the specified succeededIndexes field)")),
    ("cron", "spec.schedule", "TZ=UTC * * * *", (
     'spec.schedule: Invalid value: "TZ=UTC * * * *": expected exactly 5 fields, found 4: [* * * *]\n'
     'spec.schedule: Invalid value: "TZ=UTC * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead')),
    ("cron", "spec.timeZone", "a//b", 'spec.timeZone: Invalid value: "a//b": unknown time zone a//b'),
    ("cron", "spec.jobTemplate.spec.selector", {"matchLabels": {"a": "b"}}, (
     'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated')),
    ("stateful", "spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": 0}},
     "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"),
    ("autoscaler", "spec.metrics", [{}], (
     f"{METRIC}.type: Required value: must specify a metric source type\n"
     f'{METRIC}.type: Unsupported value: "": {SOURCES}\n'
     f'{METRIC}.type: Unsupported value: "": {SOURCES}')),
    ("autoscaler", "spec.metrics", [{"type": "Resource", "resource": {}, "pods": PER_POD}], (
     f"{METRIC}.pods: Forbidden: must populate the given metric source only")),
    ("autoscaler", "spec.metrics", [{"type": "External", "external": {**PER_POD, "target": BOTH}}], (
     f"{METRIC}.external.target.value: Forbidden: "
     "may not set both a target value for metric and a per-pod target")),
    ("autoscaler", "spec.metrics", [{"type": "Object", "object": {**PER_POD, "describedObject": IT, "target": NONE}}], (
     f"{METRIC}.object.target.averageValue: Required value: must set either a target value or averageValue")),
    ("runtime", "overhead", {"podFixed": {"cpu": "-1"}}, (
     'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0')),
    ("deployment", "spec.template.metadata.labels", {"z": "1", "b": "2"}, (
     'spec.template.metadata.labels: Invalid value: {"b":"2","z":"1"}: `selector` does not match template `labels`')),
]  # fmt: skip
KEPT: list[tuple[str, str, Any, str]] = [
    ("indexed", "spec.completions", 6,
     "spec.completions: Invalid value: 6: can only be modified in tandem with spec.parallelism"),
    ("job", "spec.podFailurePolicy", {"rules": [RULE]}, (
     'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"\n'
     'spec.podFailurePolicy: Invalid value: {"Rules":[{"Action":"Count","OnExitCodes":null,"OnPodConditions":'
     '[{"Type":"A","Status":"True"}]}]}: field is immutable')),
    ("cron", "spec.timeZone", "Local", (
     'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
     "https://www.iana.org/time-zones")),
    ("deployment", "spec.selector", {"matchExpressions": [{"operator": "Exists", "key": "a"}]}, (
     'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Exists"}]}: field is immutable')),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].refuses(world, path, value, expected)


@pytest.mark.parametrize(("kind", "path", "value", "expected"), KEPT)
async def test_kept(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].keeps(world, path, value, expected)


async def test_labels_a_job_fills_in_are_not_somebody_elses(world: World) -> None:
    body = changed(PROBES["job"].body, "spec.template.metadata", {"labels": {"job-name": "other"}})
    with pytest.raises(StatusError) as caught:
        await PROBES["job"].create(world, body)
    assert caught.value.details is not None
    first = caught.value.details["causes"][0]
    assert first["field"] == "spec.template.metadata.labels[job-name]"
    assert first["message"].endswith("must be 'x'")


async def test_long_names_of_old_cron_jobs_stay(world: World) -> None:
    probe = PROBES["cron"]
    with pytest.raises(StatusError, match="must be no more than 52 characters"):
        await world.create(probe.gvr, {"metadata": {"name": "x" * 53}, **probe.body}, NAMESPACE)


@pytest.mark.parametrize(("text", "expected"), [("", 0), ("0", 1), ("0,2-4", 4), ("1-2,4", 3)])
def test_indexes(text: str, expected: int) -> None:
    assert job_indexes.count(text, 5) == expected


@pytest.mark.parametrize("text", ["5", "0-5", "1-1", "2,1", "1,1", "1-2-3", "x", "1,", "2-1"])
def test_indexes_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"index|order"):
        job_indexes.count(text, 5)


@pytest.mark.parametrize("kind", ["stateful", "deployment"])
async def test_collisions_are_never_fewer(world: World, kind: str) -> None:
    probe = PROBES[kind]
    await probe.create(world)
    registry = world.registries[probe.gvr]
    write = world.write(registry.resource, NAMESPACE, "status", "x", False)

    async def count(collisions: int) -> None:
        def change(old: Obj) -> Obj:
            return changed(old, "status.collisionCount", collisions)

        await registry.update(NAMESPACE, "x", change, write, SCOPES["status"])

    await count(2)
    with pytest.raises(StatusError, match="cannot be decremented"):
        await count(1)


async def test_a_suspended_job_whose_pods_have_stopped_may_ask_for_other_amounts(world: World) -> None:
    job, kept = PROBES["job"], "spec.template.spec.containers[0]"
    await job.create(world, changed(job.body, "spec.suspend", True))
    amounts = {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}
    await job.keeps(world, f"{kept}.resources", amounts, "")
    stored = world.registries[job.gvr].find(NAMESPACE, job.name)
    assert stored is not None
    assert stored.value["spec"]["template"]["spec"]["containers"][0]["resources"] == amounts
    for path, value in ((f"{kept}.image", "other"), (f"{kept}.resources.claims", [{"name": "gpu"}])):
        with pytest.raises(StatusError, match=r"spec.template.spec: Invalid value: .*: field is immutable"):
            await _change(world, job, path, value)
    with pytest.raises(StatusError, match="must be less than or equal to cpu limit"):
        await _change(world, job, f"{kept}.resources.requests.cpu", "5")
    await job.keeps(world, "spec.suspend", False, "")
    with pytest.raises(StatusError, match=r"spec.template: Invalid value: .*: field is immutable"):
        await _change(world, job, f"{kept}.resources.requests.cpu", "1")


async def _change(world: World, probe: Probe, path: str, value: Any) -> None:
    registry = world.registries[probe.gvr]
    write = world.write(registry.resource, NAMESPACE, "", probe.name, False)
    await registry.update(NAMESPACE, probe.name, lambda old: changed(old, path, value), write, SCOPES[""])
