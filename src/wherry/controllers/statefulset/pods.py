"""Who pod number N of a StatefulSet is: its name, its labels, its claims. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import pod_from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
REVISION = "controller-revision-hash"


def ordinal_of(statefulset: Obj, pod: Obj) -> int | None:
    """The number in the pod's name; None if it is no name this set gives."""
    parent, _, number = str(pod["metadata"]["name"]).rpartition("-")
    if parent != statefulset["metadata"]["name"] or not number.isdigit() or number != str(int(number)):
        return None
    return int(number)


def ordinals(statefulset: Obj) -> range:
    """The numbers the set wants now."""
    start = (statefulset["spec"].get("ordinals") or {}).get("start") or 0
    replicas = statefulset["spec"].get("replicas")
    return range(start, start + (1 if replicas is None else replicas))


def pod_name(statefulset: Obj, ordinal: int) -> str:
    return f"{statefulset['metadata']['name']}-{ordinal}"


def new_pod(statefulset: Obj, ordinal: int, template: Obj, revision: str) -> Obj:
    """Pod number `ordinal` of the given template, whose ControllerRevision is named `revision`."""
    metadata = statefulset["metadata"]
    name = pod_name(statefulset, ordinal)
    pod = pod_from_template(template, owner_ref=controller_ref(statefulset), namespace=metadata["namespace"], name=name)
    labels = pod["metadata"].get("labels") or {}
    pod["metadata"]["labels"] = {**labels, POD_NAME: name, POD_INDEX: str(ordinal), REVISION: revision}
    # The prefix of its siblings' names, as in Kubernetes: tools group pods by it.
    pod["metadata"]["generateName"] = f"{metadata['name']}-"
    spec = {**pod["spec"], "hostname": name}
    if statefulset["spec"].get("serviceName"):
        spec["subdomain"] = statefulset["spec"]["serviceName"]
    claimed = {volume["name"]: volume for volume in _claim_volumes(statefulset, ordinal)}
    others = [volume for volume in spec.get("volumes") or () if volume["name"] not in claimed]
    if claimed or others:
        spec["volumes"] = [*claimed.values(), *others]
    pod["spec"] = spec
    return pod


def missing_labels(statefulset: Obj, pod: Obj) -> dict[str, str]:
    """The labels that say which member this is and that somebody took away, or an adopted pod never had."""
    ordinal = ordinal_of(statefulset, pod)
    wanted = {POD_NAME: pod["metadata"]["name"], POD_INDEX: str(ordinal)} if ordinal is not None else {}
    labels = pod["metadata"].get("labels") or {}
    return {key: value for key, value in wanted.items() if labels.get(key) != value}


def claims_of(statefulset: Obj, ordinal: int) -> list[Obj]:
    """The claims pod number `ordinal` needs, as they are created once and kept."""
    metadata, spec = statefulset["metadata"], statefulset["spec"]
    selected = (spec.get("selector") or {}).get("matchLabels") or {}
    result: list[Obj] = []
    for template in spec.get("volumeClaimTemplates") or ():
        own = template.get("metadata") or {}
        claim: Obj = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name(statefulset, template, ordinal),
                "namespace": metadata["namespace"],
                "labels": {**(own.get("labels") or {}), **selected},
            },
            "spec": template["spec"],
        }
        if own.get("annotations"):
            claim["metadata"]["annotations"] = own["annotations"]
        if retention(statefulset)[0] == "Delete":
            claim["metadata"]["ownerReferences"] = [_owner(statefulset)]
        result.append(claim)
    return result


def claim_name(statefulset: Obj, template: Obj, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{pod_name(statefulset, ordinal)}"


def is_claim_of(statefulset: Obj, claim: Obj) -> bool:
    """Whether one of the set's pods would use a claim of that name."""
    prefix = str(claim["metadata"]["name"]).rpartition("-")[0]
    set_name, templates = statefulset["metadata"]["name"], statefulset["spec"].get("volumeClaimTemplates") or ()
    return any(prefix == f"{template['metadata']['name']}-{set_name}" for template in templates)


def retention(statefulset: Obj) -> tuple[str, str]:
    """(whenDeleted, whenScaled) of the claims' retention policy."""
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted") or "Retain", policy.get("whenScaled") or "Retain"


def owners_wanted(statefulset: Obj, claim: Obj, pod: Obj, *, condemned: bool) -> list[Obj]:
    """The claim's owners by the retention policy: the set if claims go with it, the pod if it is being scaled away
    (`condemned`) and claims go then. Owners of others stay."""
    deleted, scaled = retention(statefulset)
    before = claim["metadata"].get("ownerReferences") or []
    uid, name = statefulset["metadata"]["uid"], pod["metadata"]["name"]
    others = [ref for ref in before if ref["uid"] != uid and (ref["kind"], ref["name"]) != ("Pod", name)]
    if scaled == "Delete" and condemned:
        return [*others, _owner(pod)]
    return [*others, _owner(statefulset)] if deleted == "Delete" else others


def _owner(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _claim_volumes(statefulset: Obj, ordinal: int) -> Iterable[Obj]:
    for template in statefulset["spec"].get("volumeClaimTemplates") or ():
        claim = {"claimName": claim_name(statefulset, template, ordinal)}
        yield {"name": template["metadata"]["name"], "persistentVolumeClaim": claim}
