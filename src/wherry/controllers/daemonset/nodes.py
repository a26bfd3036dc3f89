"""Which nodes a DaemonSet means. Pure: the node's name, labels and taints against the pod it would get."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from wherry.api import node_selectors
from wherry.api.tolerations import tolerates
from wherry.api.types import Obj
from wherry.controllers.daemonset.pods import tolerations


class Needs(Struct, frozen=True):
    """What the template asks of a node, looked up once for all nodes."""

    node_name: str
    selector: dict[str, str]
    terms: list[Obj] | None
    tolerations: list[Obj]

    @classmethod
    def of(cls, daemonset: Obj) -> Needs:
        template = daemonset["spec"]["template"]
        spec = template["spec"]
        return cls(spec.get("nodeName") or "", *node_selectors.required(template), tolerations(spec))


def judge(needs: Needs, node: Obj) -> tuple[bool, bool]:
    """(a pod should be started there, one that runs there may stay). A NoSchedule taint only keeps new ones away."""
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    if needs.node_name and needs.node_name != name:
        return False, False
    if not node_selectors.matches(needs.selector, needs.terms, name, labels):
        return False, False
    hard = [one for one in taints(node) if one["effect"] != "PreferNoSchedule"]
    untolerated = [one for one in hard if not tolerates(needs.tolerations, one)]
    return not untolerated, all(one["effect"] != "NoExecute" for one in untolerated)


def taints(node: Obj) -> list[Obj]:
    return (node.get("spec") or {}).get("taints") or []


def placement(node: Obj) -> Any:
    """The part of a node that `judge` reads: a heartbeat does not change it."""
    return node["metadata"].get("labels"), taints(node)
