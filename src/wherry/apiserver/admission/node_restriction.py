"""NodeRestriction: a node writes its own Node, Lease and CSINode, and the status of its own pods.

The node authorizer says which kinds a node may write at all; here it is narrowed to what is the node's own. Texts and rules:
Kubernetes' "Admission Controllers", NodeRestriction.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.auth import pod_references
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.node import LEASE_NAMESPACE, node_name
from wherry.apiserver.registry.validation.field import quote

MIRROR = "kubernetes.io/config.mirror"
_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
"""Of Kubernetes' own namespaces, what a node may say of itself."""
_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")


class NodeRestriction:
    """Asks nothing of anybody but nodes."""

    async def validate(self, request: AdmissionRequest) -> None:
        node = node_name(request.user)
        if node is None:
            return
        if not node:
            raise request.forbid(f"could not determine node from user {quote(request.user.name)}")
        resource = (request.resource.group, request.resource.resource)
        if resource == ("", "pods"):
            _pod(request, node)
        elif resource == ("", "nodes"):
            _node(request, node)
        elif resource == ("", "serviceaccounts") and request.subresource == "token":
            _token(request, node)
        elif resource == ("coordination.k8s.io", "leases"):
            _lease(request, node)
        elif resource == ("storage.k8s.io", "csinodes"):
            _csi_node(request, node)
        elif resource == ("certificates.k8s.io", "certificatesigningrequests"):
            _signing_request(request, node)


def _pod(request: AdmissionRequest, node: str) -> None:
    if request.subresource == "eviction":
        found = request.context.read.get(PODS, request.name, request.namespace)
        if found is not None and found["spec"].get("nodeName") != node:
            raise request.forbid(f"node {quote(node)} can only evict pods with spec.nodeName set to itself")
    elif request.subresource == "status":
        _pod_status(request, node)
    elif request.subresource:
        raise request.forbid(
            f"unexpected pod subresource {quote(request.subresource)}, only 'status' and 'eviction' are allowed"
        )
    elif request.operation == "CREATE":
        assert request.object is not None
        problem = _mirror_problem(request.object, node)
        if problem:
            raise request.forbid(problem)
    elif request.operation == "DELETE":
        assert request.old_object is not None
        if request.old_object["spec"].get("nodeName") != node:
            raise request.forbid(f"node {quote(node)} can only delete pods with spec.nodeName set to itself")
    else:
        raise request.forbid(
            f"unexpected operation {quote(request.operation)}, node {quote(node)} can only create and delete mirror pods"
        )


def _pod_status(request: AdmissionRequest, node: str) -> None:
    old, new = request.old_object, request.object
    if request.operation != "UPDATE" or old is None or new is None:
        raise request.forbid(f"unexpected operation {quote(request.operation)}")
    if old["spec"].get("nodeName") != node:
        only = "can only update pod status for pods with spec.nodeName set to itself"
        raise request.forbid(f"node {quote(node)} {only}")
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise request.forbid(f"node {quote(node)} cannot update labels through pod status")


def _mirror_problem(pod: Obj, node: str) -> str:
    """What is wrong with a pod that a node makes: only pods it runs already may be shown in the API."""
    metadata, who = pod["metadata"], f"node {quote(node)}"
    if MIRROR not in (metadata.get("annotations") or {}):
        return f"pod does not have {quote(MIRROR)} annotation, {who} can only create mirror pods"
    if pod["spec"].get("nodeName") != node:
        return f"{who} can only create pods with spec.nodeName set to itself"
    owners = metadata.get("ownerReferences") or []
    if len(owners) != 1 or owners[0].get("kind") != "Node" or owners[0].get("name") != node:
        return f"{who} can only create pods with an owner reference set to itself"
    if owners[0].get("controller") is not True:
        return f"{who} can only create pods with a controller owner reference set to itself"
    if owners[0].get("blockOwnerDeletion"):
        return f"{who} must not set blockOwnerDeletion on an owner reference"
    if any(pod_references.accounts(pod)):
        return f"{who} can not create pods that reference a service account"
    named = {
        "secrets": pod_references.secrets,
        "configmaps": pod_references.config_maps,
        "persistentvolumeclaims": pod_references.claims,
    }
    for resource, names in named.items():
        if any(names(pod)):
            return f"{who} can not create pods that reference {resource}"
    return ""


def _node(request: AdmissionRequest, node: str) -> None:
    if request.name != node:
        raise request.forbid(f"node {quote(node)} is not allowed to modify node {quote(request.name)}")
    new, old = request.object, request.old_object
    if new is None:
        return
    verb = "set the following labels" if old is None else "modify labels"
    refused = sorted(filter(_kept_from_nodes, _changed_labels(new, old)))
    if refused:
        raise request.forbid(f"is not allowed to {verb}: {', '.join(refused)}")
    if old is None:
        return
    if (new["spec"].get("taints") or []) != (old["spec"].get("taints") or []) and not request.subresource:
        raise request.forbid(f"node {quote(node)} is not allowed to modify taints")
    if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
        raise request.forbid(f"node {quote(node)} is not allowed to modify ownerReferences")


def _changed_labels(new: Obj, old: Obj | None) -> list[str]:
    before: Mapping[str, str] = (old or {}).get("metadata", {}).get("labels") or {}
    after: Mapping[str, str] = new["metadata"].get("labels") or {}
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]


def _kept_from_nodes(key: str) -> bool:
    """Labels by which pods are kept on or off nodes are not the node's to choose."""
    domain = key.partition("/")[0] if "/" in key else ""
    if _under(domain, "node-restriction.kubernetes.io"):
        return True
    if not (_under(domain, "kubernetes.io") or _under(domain, "k8s.io")):
        return False
    return key not in _LABELS and not any(_under(domain, each) for each in _LABEL_DOMAINS)


def _under(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _token(request: AdmissionRequest, node: str) -> None:
    reference = ((request.object or {}).get("spec") or {}).get("boundObjectRef") or {}
    if reference.get("apiVersion") != "v1" or reference.get("kind") != "Pod" or not reference.get("name"):
        raise request.forbid("node requested token not bound to a pod")
    if not reference.get("uid"):
        raise request.forbid("node requested token with a pod binding without a uid")
    pod = request.context.read.get(PODS, reference["name"], request.namespace)
    if pod is None:
        raise request.forbid(f'pod "{reference["name"]}" not found')
    if pod["metadata"].get("uid") != reference["uid"]:
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
        raise request.forbid(f"{why}The object might have been deleted and then recreated")
    if pod["spec"].get("nodeName") != node:
        raise request.forbid("node requested token bound to a pod scheduled on a different node")
    _audience(request, pod)


def _audience(request: AdmissionRequest, pod: Obj) -> None:
    """Only what a volume of the pod asks for, unless a role says that nodes may have tokens of this account for it."""
    wanted = ((request.object or {}).get("spec") or {}).get("audiences") or [""]
    if len(wanted) > 1:
        raise request.forbid("node may only request 0 or 1 audiences")
    audience = wanted[0]
    if audience in pod_references.audiences(pod):
        return
    assert request.world is not None
    asked = Attributes("request-serviceaccounts-token-audience", "", audience, "", request.namespace, request.name)
    if not request.world.authorizer.decide(request.user, asked).allowed:
        who = f"{request.user.name} is not authorized to request tokens for this audience"
        raise request.forbid(f"audience {quote(audience)} not found in pod spec volume, {who}")


def _lease(request: AdmissionRequest, node: str) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise request.forbid(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if request.name != node:
        raise request.forbid("can only access node lease with the same name as the requesting node")


def _csi_node(request: AdmissionRequest, node: str) -> None:
    if request.name != node:
        raise request.forbid("can only access CSINode with the same name as the requesting node")


def _signing_request(request: AdmissionRequest, node: str) -> None:
    """For the signers of nodes a node asks in its own name only."""
    spec = (request.object or {}).get("spec") or {}
    if request.operation != "CREATE" or request.subresource or spec.get("signerName") not in _SIGNERS:
        return
    from wherry.api.certificate_request import subject_of

    try:
        name, _ = subject_of(base64.b64decode(spec.get("request") or ""))
    except ValueError as error:
        raise request.forbid(f"unable to parse csr: {error}") from None
    if name != request.user.name:
        raise request.forbid(f"can only create a node CSR with CN={request.user.name}")
