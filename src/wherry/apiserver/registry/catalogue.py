"""Which strategy belongs to which resource; kinds not named here get the generic one.

Strategies are made for the stored version of a kind; other served versions are converted to it before.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.extensions.definition import CustomResourceDefinitionStrategy
from wherry.apiserver.registry.admission_policy import (
    MutatingAdmissionPolicyBindingStrategy,
    MutatingAdmissionPolicyStrategy,
    ValidatingAdmissionPolicyBindingStrategy,
    ValidatingAdmissionPolicyStrategy,
)
from wherry.apiserver.registry.api_service import APIServiceStrategy
from wherry.apiserver.registry.certificate_signing_request import CertificateSigningRequestStrategy
from wherry.apiserver.registry.cluster_trust_bundle import ClusterTrustBundleStrategy
from wherry.apiserver.registry.component_status import ComponentStatusStrategy
from wherry.apiserver.registry.config_map import ConfigMapStrategy
from wherry.apiserver.registry.cron_job import CronJobStrategy
from wherry.apiserver.registry.csi import CSIDriverStrategy, CSINodeStrategy, CSIStorageCapacityStrategy
from wherry.apiserver.registry.daemon_set import DaemonSetStrategy
from wherry.apiserver.registry.deployment import DeploymentStrategy
from wherry.apiserver.registry.endpoints import EndpointSliceStrategy, EndpointsStrategy
from wherry.apiserver.registry.event import EventStrategy
from wherry.apiserver.registry.flow_control import FlowSchemaStrategy, PriorityLevelConfigurationStrategy
from wherry.apiserver.registry.horizontal_pod_autoscaler import HorizontalPodAutoscalerStrategy
from wherry.apiserver.registry.ingress import IngressClassStrategy, IngressStrategy
from wherry.apiserver.registry.job import JobStrategy
from wherry.apiserver.registry.lease import LeaseStrategy
from wherry.apiserver.registry.limit_range import LimitRangeStrategy
from wherry.apiserver.registry.namespace import NamespaceStrategy
from wherry.apiserver.registry.network_policy import NetworkPolicyStrategy
from wherry.apiserver.registry.node import NodeStrategy
from wherry.apiserver.registry.persistent_volume import PersistentVolumeStrategy
from wherry.apiserver.registry.persistent_volume_claim import PersistentVolumeClaimStrategy
from wherry.apiserver.registry.pod import PodStrategy
from wherry.apiserver.registry.pod_disruption_budget import PodDisruptionBudgetStrategy
from wherry.apiserver.registry.pod_template import ControllerRevisionStrategy, PodTemplateStrategy, RuntimeClassStrategy
from wherry.apiserver.registry.priority_class import PriorityClassStrategy
from wherry.apiserver.registry.rbac import BindingStrategy, RoleStrategy
from wherry.apiserver.registry.replica_set import ReplicaSetStrategy, ReplicationControllerStrategy
from wherry.apiserver.registry.resource_claim import (
    DeviceClassStrategy,
    DeviceTaintRuleStrategy,
    ResourceClaimStrategy,
    ResourceClaimTemplateStrategy,
    ResourceSliceStrategy,
)
from wherry.apiserver.registry.resource_quota import ResourceQuotaStrategy
from wherry.apiserver.registry.secret import SecretStrategy
from wherry.apiserver.registry.service import ServiceStrategy
from wherry.apiserver.registry.service_account import ServiceAccountStrategy
from wherry.apiserver.registry.service_cidr import IPAddressStrategy, ServiceCIDRStrategy
from wherry.apiserver.registry.stateful_set import StatefulSetStrategy
from wherry.apiserver.registry.storage_class import StorageClassStrategy, VolumeAttributesClassStrategy
from wherry.apiserver.registry.storage_version_migration import StorageVersionMigrationStrategy
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.volume_attachment import VolumeAttachmentStrategy
from wherry.apiserver.registry.webhook_configuration import (
    MutatingWebhookConfigurationStrategy,
    ValidatingWebhookConfigurationStrategy,
)

STRATEGIES: Mapping[tuple[str, str], type[Strategy]] = {
    ("", "componentstatuses"): ComponentStatusStrategy,
    ("", "configmaps"): ConfigMapStrategy,
    ("", "endpoints"): EndpointsStrategy,
    ("", "events"): EventStrategy,
    ("", "limitranges"): LimitRangeStrategy,
    ("", "namespaces"): NamespaceStrategy,
    ("", "nodes"): NodeStrategy,
    ("", "persistentvolumeclaims"): PersistentVolumeClaimStrategy,
    ("", "persistentvolumes"): PersistentVolumeStrategy,
    ("", "pods"): PodStrategy,
    ("", "podtemplates"): PodTemplateStrategy,
    ("", "replicationcontrollers"): ReplicationControllerStrategy,
    ("", "resourcequotas"): ResourceQuotaStrategy,
    ("", "secrets"): SecretStrategy,
    ("", "serviceaccounts"): ServiceAccountStrategy,
    ("", "services"): ServiceStrategy,
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): MutatingAdmissionPolicyStrategy,
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): MutatingAdmissionPolicyBindingStrategy,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): MutatingWebhookConfigurationStrategy,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): ValidatingAdmissionPolicyStrategy,
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): ValidatingAdmissionPolicyBindingStrategy,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): ValidatingWebhookConfigurationStrategy,
    ("apiextensions.k8s.io", "customresourcedefinitions"): CustomResourceDefinitionStrategy,
    ("apiregistration.k8s.io", "apiservices"): APIServiceStrategy,
    ("apps", "controllerrevisions"): ControllerRevisionStrategy,
    ("apps", "daemonsets"): DaemonSetStrategy,
    ("apps", "deployments"): DeploymentStrategy,
    ("apps", "replicasets"): ReplicaSetStrategy,
    ("apps", "statefulsets"): StatefulSetStrategy,
    ("autoscaling", "horizontalpodautoscalers"): HorizontalPodAutoscalerStrategy,
    ("batch", "cronjobs"): CronJobStrategy,
    ("batch", "jobs"): JobStrategy,
    ("certificates.k8s.io", "certificatesigningrequests"): CertificateSigningRequestStrategy,
    ("certificates.k8s.io", "clustertrustbundles"): ClusterTrustBundleStrategy,
    ("coordination.k8s.io", "leases"): LeaseStrategy,
    ("discovery.k8s.io", "endpointslices"): EndpointSliceStrategy,
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): FlowSchemaStrategy,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): PriorityLevelConfigurationStrategy,
    ("networking.k8s.io", "ingressclasses"): IngressClassStrategy,
    ("networking.k8s.io", "ingresses"): IngressStrategy,
    ("networking.k8s.io", "ipaddresses"): IPAddressStrategy,
    ("networking.k8s.io", "networkpolicies"): NetworkPolicyStrategy,
    ("networking.k8s.io", "servicecidrs"): ServiceCIDRStrategy,
    ("node.k8s.io", "runtimeclasses"): RuntimeClassStrategy,
    ("policy", "poddisruptionbudgets"): PodDisruptionBudgetStrategy,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): BindingStrategy,
    ("rbac.authorization.k8s.io", "clusterroles"): RoleStrategy,
    ("rbac.authorization.k8s.io", "rolebindings"): BindingStrategy,
    ("rbac.authorization.k8s.io", "roles"): RoleStrategy,
    ("resource.k8s.io", "deviceclasses"): DeviceClassStrategy,
    ("resource.k8s.io", "devicetaintrules"): DeviceTaintRuleStrategy,
    ("resource.k8s.io", "resourceclaims"): ResourceClaimStrategy,
    ("resource.k8s.io", "resourceclaimtemplates"): ResourceClaimTemplateStrategy,
    ("resource.k8s.io", "resourceslices"): ResourceSliceStrategy,
    ("scheduling.k8s.io", "priorityclasses"): PriorityClassStrategy,
    ("storage.k8s.io", "csidrivers"): CSIDriverStrategy,
    ("storage.k8s.io", "csinodes"): CSINodeStrategy,
    ("storage.k8s.io", "csistoragecapacities"): CSIStorageCapacityStrategy,
    ("storage.k8s.io", "storageclasses"): StorageClassStrategy,
    ("storage.k8s.io", "volumeattachments"): VolumeAttachmentStrategy,
    ("storage.k8s.io", "volumeattributesclasses"): VolumeAttributesClassStrategy,
    ("storagemigration.k8s.io", "storageversionmigrations"): StorageVersionMigrationStrategy,
}
"""(group, plural) -> strategy."""


def strategies(scheme: Scheme) -> Mapping[GVR, Strategy]:
    """One strategy per resource of the scheme."""
    return {
        gvr: STRATEGIES.get((gvr.group, gvr.resource), Strategy)(resource) for gvr, resource in scheme.resources.items()
    }
