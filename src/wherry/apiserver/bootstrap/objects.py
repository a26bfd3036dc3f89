"""The objects of a new cluster, as data: namespaces, roles, classes, the API's own Service.

Pure: options in, objects out, in the order in which they must come to be (namespaces first). Source of the roles and of
the flow schemas: what a vanilla Kubernetes 1.36 creates. Objects a controller keeps (`default` accounts, kube-root-ca.crt)
are not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.apiserver.bootstrap.repairs import AUTO_UPDATE_SPEC, MANDATORY

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
NODE_AGENTS_GROUP = "wherry:node-agents"
"""In the certificate of the machine's own node agent, beside system:nodes; a node that somebody adds is only in that."""
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_RBAC = "rbac.authorization.k8s.io"
_HERE = Path(__file__).parent


class BootstrapOptions(Struct, frozen=True):
    """What differs between clusters. Times are RFC 3339 texts."""

    now: str
    scheme: Scheme
    service_cidr: str = "10.96.0.0/16"
    api_address: str = "10.96.0.1"
    """The first address of the service range: where pods find the API."""
    api_port: int = 6443
    endpoint_address: str = ""
    """Where the API server listens, seen from pods; "" when the service address itself is served, without endpoints."""
    client_ca: str = ""
    """PEM of the CA of client certificates, for extension API servers."""
    front_proxy_ca: str = ""
    """PEM of the CA whose certificate `front-proxy-client` extension API servers believe about who asks; "" for none."""
    storage_provisioner: str = ""
    """Provisioner of the default StorageClass `standard`; "" for none."""
    extra: tuple[Obj, ...] = field(default=())


def bootstrap_objects(options: BootstrapOptions) -> list[Obj]:
    """All of them; a kind the scheme does not serve in this version is left out."""
    objects = [
        *(_object("v1", "Namespace", name) for name in NAMESPACES),
        *rbac_objects(),
        *_priority_classes(),
        *_flow_control(options.now),
        *_api_services(options),
        *_network(options),
        *_storage_classes(options),
        *_authentication(options),
        *options.extra,
    ]
    return _served(objects, options)


def kept_objects(options: BootstrapOptions) -> list[Obj]:
    """Those that come back when they are deleted while the server runs (`keeper.py`); their status is others' business."""
    objects = [
        *(_object("v1", "Namespace", name) for name in NAMESPACES),
        *_flow_control(options.now),
        *_network(options),
        *_authentication(options),
    ]
    bare = [{key: value for key, value in each.items() if key != "status"} for each in objects]
    return _served(bare, options)


def _served(objects: list[Obj], options: BootstrapOptions) -> list[Obj]:
    return [each for each in objects if options.scheme.by_kind(each["apiVersion"], each["kind"]) is not None]


def mandatory_specs(kind: str) -> dict[str, Obj]:
    """Name -> spec of the FlowSchemas or PriorityLevelConfigurations nobody may change."""
    recorded = _recorded("flowcontrol.json")
    return {
        each["metadata"]["name"]: each["spec"]
        for each in recorded
        if each["kind"] == kind and each["metadata"]["name"] in MANDATORY
    }


def _object(api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> Obj:
    metadata: Obj = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata.update(more.pop("metadata", {}))
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def rbac_objects() -> list[Obj]:
    """Kubernetes' roles and bindings, and those Wherry's own processes need beside them."""
    return [_rbac(each) for each in (*_recorded("rbac.json"), *_own_roles())]


def _rbac(each: Obj) -> Obj:
    metadata = each["metadata"]
    labels = {**_BOOTSTRAPPING, **metadata.get("labels", {})}
    return {
        "apiVersion": f"{_RBAC}/v1",
        **each,
        "metadata": {**metadata, "labels": labels, "annotations": {AUTO_UPDATE: "true"}},
    }


def _recorded(name: str) -> list[Obj]:
    objects: list[Obj] = msgspec.json.decode((_HERE / name).read_bytes())
    return objects


def _own_roles() -> list[Obj]:
    """The node agent also does what kube-proxy and the cluster's DNS do elsewhere, so it reads what they read. It watches
    ConfigMaps and Secrets as a whole: it is the only node there is, and one watch costs less than one per object."""
    read = ["get", "list", "watch"]
    name = "wherry:node-agent"
    rules = [
        {"verbs": read, "apiGroups": [""], "resources": ["endpoints", "namespaces", "services"]},
        {"verbs": read, "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
        {"verbs": read, "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"]},
        {"verbs": read, "apiGroups": [""], "resources": ["persistentvolumeclaims", "persistentvolumes"]},
        {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["configmaps", "secrets"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},  # one that is gone is 404 to it, not 403
    ]
    subjects = [{"kind": "Group", "apiGroup": _RBAC, "name": NODE_AGENTS_GROUP}]
    role_ref = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
    return [
        {"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {"kind": "ClusterRoleBinding", "metadata": {"name": name}, "subjects": subjects, "roleRef": role_ref},
        _renewal_binding(),
    ]


def _renewal_binding() -> Obj:
    """A node's own client certificates are approved without being asked (kubeadm makes the same binding)."""
    role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    return {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "wherry:node-certificates"},
        "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": "system:nodes"}],
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
    }


def _priority_classes() -> list[Obj]:
    texts = {
        "system-cluster-critical": (
            2000000000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        "system-node-critical": (
            2000001000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    }
    return [
        _object("scheduling.k8s.io/v1", "PriorityClass", name, value=value, description=text)
        for name, (value, text) in texts.items()
    ]


def _flow_control(now: str) -> list[Obj]:
    """What `limits.py` acts on, and its conditions."""
    objects = []
    for each in _recorded("flowcontrol.json"):
        metadata = {**each["metadata"], "annotations": {AUTO_UPDATE_SPEC: "true"}}
        made = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", **each, "metadata": metadata}
        if each["kind"] == "FlowSchema":
            level = each["spec"]["priorityLevelConfiguration"]["name"]
            message = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" and it exists'
            made["status"] = {"conditions": [_condition("Dangling", "False", now, "Found", message)]}
        objects.append(made)
    return objects


def _condition(kind: str, status: str, now: str, reason: str, message: str) -> Obj:
    return {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}


_PRIORITIES = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    _RBAC: 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
_VERSION_PRIORITIES = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 21,
}


def _api_services(options: BootstrapOptions) -> list[Obj]:
    """One per group and version served here."""
    message = "Local APIServices are always available"
    objects = []
    for group in options.scheme.groups():
        for version in group.versions:
            if group.name not in _PRIORITIES:
                continue
            spec: Obj = {"group": group.name} if group.name else {}
            spec |= {
                "version": version,
                "groupPriorityMinimum": _PRIORITIES[group.name],
                "versionPriority": _VERSION_PRIORITIES.get((group.name, version), 15),
            }
            labels = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
            objects.append(
                _object(
                    "apiregistration.k8s.io/v1",
                    "APIService",
                    f"{version}.{group.name}",
                    metadata={"labels": labels},
                    spec=spec,
                    status={"conditions": [_condition("Available", "True", options.now, "Local", message)]},
                )
            )
    return objects


def _network(options: BootstrapOptions) -> list[Obj]:
    """The range of cluster IPs and the Service `kubernetes`."""
    ready = _condition("Ready", "True", options.now, "", "Kubernetes Service CIDR is ready")
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": options.api_port}
    objects = [
        _object(
            "networking.k8s.io/v1",
            "ServiceCIDR",
            "kubernetes",
            metadata={"finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
            spec={"cidrs": [options.service_cidr]},
            status={"conditions": [ready]},
        ),
        _object(
            "v1",
            "Service",
            "kubernetes",
            "default",
            metadata={"labels": {"component": "apiserver", "provider": "kubernetes"}},
            spec={"ports": [port], "clusterIP": options.api_address, "type": "ClusterIP"},
        ),
    ]
    return objects + (_endpoints(options) if options.endpoint_address else [])


def _endpoints(options: BootstrapOptions) -> list[Obj]:
    address, port = options.endpoint_address, {"name": "https", "port": options.api_port, "protocol": "TCP"}
    return [
        _object(
            "v1",
            "Endpoints",
            "kubernetes",
            "default",
            metadata={"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            subsets=[{"addresses": [{"ip": address}], "ports": [port]}],
        ),
        _object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "kubernetes",
            "default",
            metadata={"labels": {"kubernetes.io/service-name": "kubernetes"}},
            addressType="IPv4",
            endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
            ports=[port],
        ),
    ]


def _storage_classes(options: BootstrapOptions) -> list[Obj]:
    if not options.storage_provisioner:
        return []
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        _object(
            "storage.k8s.io/v1",
            "StorageClass",
            "standard",
            metadata={"annotations": annotations},
            provisioner=options.storage_provisioner,
            reclaimPolicy="Delete",
            allowVolumeExpansion=True,
            volumeBindingMode="WaitForFirstConsumer",
        )
    ]


def _authentication(options: BootstrapOptions) -> list[Obj]:
    """Where extension API servers learn whom to trust."""
    if not options.client_ca:
        return []
    data = {"client-ca-file": options.client_ca}
    if options.front_proxy_ca:
        data |= {
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-client-ca-file": options.front_proxy_ca,
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
    return [_object("v1", "ConfigMap", "extension-apiserver-authentication", "kube-system", data=data)]
