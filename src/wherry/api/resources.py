"""The resources our own components name, spelled once."""

from __future__ import annotations

from wherry.api.types import GVR

BINDINGS = GVR("", "v1", "bindings")
CONFIG_MAPS = GVR("", "v1", "configmaps")
ENDPOINTS = GVR("", "v1", "endpoints")
EVENTS = GVR("", "v1", "events")
NAMESPACES = GVR("", "v1", "namespaces")
NODES = GVR("", "v1", "nodes")
PERSISTENT_VOLUMES = GVR("", "v1", "persistentvolumes")
PERSISTENT_VOLUME_CLAIMS = GVR("", "v1", "persistentvolumeclaims")
PODS = GVR("", "v1", "pods")
SECRETS = GVR("", "v1", "secrets")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
SERVICES = GVR("", "v1", "services")
CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
DEPLOYMENTS = GVR("apps", "v1", "deployments")
REPLICA_SETS = GVR("apps", "v1", "replicasets")
STATEFUL_SETS = GVR("apps", "v1", "statefulsets")
HORIZONTAL_POD_AUTOSCALERS = GVR("autoscaling", "v2", "horizontalpodautoscalers")
JOBS = GVR("batch", "v1", "jobs")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
CLUSTER_ROLES = GVR("rbac.authorization.k8s.io", "v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
ROLES = GVR("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "rolebindings")
POD_METRICS = GVR("metrics.k8s.io", "v1beta1", "pods")
NODE_METRICS = GVR("metrics.k8s.io", "v1beta1", "nodes")
