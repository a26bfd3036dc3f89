"""What each of Kubernetes' own signers signs. Pure.

Texts and rules: "Certificates and Certificate Signing Requests", Kubernetes signers.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.certificate_request import Names
from wherry.api.types import Obj

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)
_NODES, _NODE = "system:nodes", "system:node:"


def problem(signer: str, names: Names, usages: Iterable[str]) -> str:
    """Why this signer does not sign it; "" when it does."""
    wanted = set(usages)
    if signer == CLIENT:
        return _client_usages(wanted)
    if names.organizations != (_NODES,):
        return f"subject organization is not {_NODES}"
    if signer == KUBELET_SERVING:
        return _serving(names, wanted)
    return _kubelet_client(names, wanted)


def _client_usages(usages: set[str]) -> str:
    others = sorted(usages - {"digital signature", "key encipherment", "client auth"})
    if others:
        return f"invalid usage for client certificate: {others[0]}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _serving(names: Names, usages: set[str]) -> str:
    if not names.dns and not names.addresses:
        return "DNS or IP subjectAltName is required"
    if names.emails:
        return "Email subjectAltNames are not allowed"
    if names.uris:
        return "URI subjectAltNames are not allowed"
    return _usages(usages, "server auth") or _node_name(names)


def _kubelet_client(names: Names, usages: set[str]) -> str:
    for found, kind in ((names.dns, "DNS"), (names.addresses, "IP"), (names.emails, "Email"), (names.uris, "URI")):
        if found:
            return f"{kind} subjectAltNames are not allowed"
    return _node_name(names) or _usages(usages, "client auth")


def _node_name(names: Names) -> str:
    return "" if names.common_name.startswith(_NODE) else f"subject common name does not begin with {_NODE} "


def _usages(usages: set[str], purpose: str) -> str:
    """Keys that are not RSA cannot encipher keys, so that usage may be missing."""
    needed = sorted(("digital signature", "key encipherment", purpose))
    if usages in (set(needed), set(needed) - {"key encipherment"}):
        return ""
    return f"usages did not match [{' '.join(needed)}]"


def is_node_client(request: Obj, names: Names) -> bool:
    spec = request["spec"]
    return spec["signerName"] == KUBELET_CLIENT and not problem(KUBELET_CLIENT, names, spec["usages"])


def has(request: Obj, kind: str) -> bool:
    """Whether it has a condition of this type."""
    return any(each.get("type") == kind for each in (request.get("status") or {}).get("conditions") or [])
