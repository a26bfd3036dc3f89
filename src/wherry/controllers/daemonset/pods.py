"""The pods of a DaemonSet: what one for a given node looks like, and which node one is for. Pure.

A pod is bound by the scheduler like any other; it can go to one node only, because its affinity names that node.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import created_at, is_finished, is_terminating, pod_from_template

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
NODE_FIELD = "metadata.name"


def tolerations(spec: Obj) -> list[Obj]:
    """Those of the template, and those every daemon pod has: a node's troubles do not drive it away."""
    wanted = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]
    if spec.get("hostNetwork"):
        wanted.append(("network-unavailable", "NoSchedule"))
    result: list[Obj] = list(spec.get("tolerations") or ())
    for key, effect in wanted:
        added = {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
        same = [number for number, one in enumerate(result) if _same(one, added)]
        if same:
            result[same[0]] = added  # without the tolerationSeconds the author may have set
        else:
            result.append(added)
    return result


def new_pod(daemonset: Obj, node: str, hash_value: str) -> Obj:
    """The pod for one node, of the template whose revision has that hash."""
    metadata, template = daemonset["metadata"], daemonset["spec"]["template"]
    pod = pod_from_template(
        template,
        owner_ref=controller_ref(daemonset),
        namespace=metadata["namespace"],
        generate_name=f"{metadata['name']}-",
    )
    labels = {**(pod["metadata"].get("labels") or {}), HASH_LABEL: hash_value}
    generation = template_generation(daemonset)
    if generation:
        labels[GENERATION_LABEL] = generation
    pod["metadata"]["labels"] = labels
    spec = template["spec"]
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    # The template's own terms were judged before; the node's name says it all.
    term = {"matchFields": [{"key": NODE_FIELD, "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod["spec"] = {
        **spec,
        "affinity": {**affinity, "nodeAffinity": {**node_affinity, **required}},
        "tolerations": tolerations(spec),
    }
    return pod


def template_generation(daemonset: Obj) -> str:
    return str((daemonset["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION, ""))


def node_of(pod: Obj) -> str:
    """The node it runs on, or the one its affinity names; "" for a pod that names none."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    needs = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in needs.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == NODE_FIELD and field["operator"] == "In" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""


def by_node(pods: Iterable[Obj]) -> dict[str, list[Obj]]:
    """The pods of each node, the one that is furthest first; what has ended and is being deleted counts no more."""
    result: dict[str, list[Obj]] = {}
    for pod in pods:
        if not (is_finished(pod) and is_terminating(pod)):
            result.setdefault(node_of(pod), []).append(pod)
    for found in result.values():
        found.sort(key=_rank)
    return result


def is_updated(pod: Obj, hash_value: str) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(HASH_LABEL) == hash_value)


def _rank(pod: Obj) -> tuple[bool, float, str]:
    """kube-controller-manager's podByCreationTimestampAndPhase: placed before not placed, then by age."""
    return not pod["spec"].get("nodeName"), created_at(pod), pod["metadata"]["name"]


def _same(one: Obj, other: Obj) -> bool:
    """Toleration.MatchToleration: all but the seconds."""
    return (
        one.get("key", "") == other["key"]
        and one.get("effect", "") == other["effect"]
        and (one.get("operator") or "Equal") == other["operator"]
        and not one.get("value")
    )
