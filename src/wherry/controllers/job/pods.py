"""The pods of a Job: how they are made, and how those that still have to be counted are found. Pure."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.controllers.job import indexes
from wherry.controllers.job.observation import INDEX_FAILURES, INDEX_IGNORED, TRACKING, Observed, is_indexed
from wherry.reconcile.ownership import controller_of, controller_ref
from wherry.reconcile.pods import pod_from_template

JOB_INDEX = "tracked-by-job"
"""Pods with the tracking finalizer, by the namespace and name of the Job that made them."""


def tracked_keys(pod: Obj) -> list[str]:
    ref = controller_of(pod)
    if ref is None or ref["kind"] != "Job" or TRACKING not in (pod["metadata"].get("finalizers") or ()):
        return []
    return [f"{pod['metadata']['namespace']}/{ref['name']}"]


def pod_of(seen: Observed, index: int | None) -> Obj:
    """The pod for a completion index, or one of many alike."""
    job = seen.job
    metadata = job["metadata"]
    name = metadata["name"] if index is None else f"{metadata['name']}-{index}"
    template = job["spec"]["template"]
    pod = pod_from_template(
        template, owner_ref=controller_ref(job), namespace=metadata["namespace"], generate_name=f"{name}-"
    )
    own = pod["metadata"]
    own["finalizers"] = [*(own.get("finalizers") or ()), TRACKING]
    if index is None or not is_indexed(job):
        return pod
    own["annotations"] = {**(own.get("annotations") or {}), indexes.INDEX: str(index)}
    own["labels"] = {**(own.get("labels") or {}), indexes.INDEX: str(index)}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        own["annotations"][INDEX_FAILURES] = str(seen.index_failures.get(index, (0, 0.0))[0])
        if seen.index_ignored.get(index):
            own["annotations"][INDEX_IGNORED] = str(seen.index_ignored[index])
    spec = dict(pod["spec"])
    spec["hostname"] = name
    for key in ("containers", "initContainers"):
        if spec.get(key):
            spec[key] = [_with_index(container) for container in spec[key]]
    pod["spec"] = spec
    return pod


def _with_index(container: Obj) -> Obj:
    """The container knows its index as $JOB_COMPLETION_INDEX, unless its author set that himself."""
    env = container.get("env") or []
    if any(one["name"] == "JOB_COMPLETION_INDEX" for one in env):
        return container
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{indexes.INDEX}']"}}
    return {**container, "env": [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]}
