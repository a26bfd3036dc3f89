"""Specs as Kubernetes shows them in some refusals: in its internal form, with every field by its Go name, set or not.

    shown(spec, "PodSpec") -> {"Volumes": None, "InitContainers": None, ...}

Only texts for people are made of it. What has no entry below is shown by its own keys, capitalised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from wherry.api.types import Obj

_CONTAINER = (
    "Name:s Image:s Command Args WorkingDir:s Ports:[ContainerPort] EnvFrom:[EnvFrom] Env:[EnvVar] Resources:Resources "
    "ResizePolicy:[ResizePolicy] RestartPolicy RestartPolicyRules VolumeMounts:[VolumeMount] VolumeDevices LivenessProbe:*Probe "
    "ReadinessProbe:*Probe StartupProbe:*Probe Lifecycle:*Lifecycle TerminationMessagePath:s TerminationMessagePolicy:s "
    "ImagePullPolicy:s SecurityContext:*SecurityContext Stdin:b StdinOnce:b TTY:b"
)
_STRUCTS = {
    "PodSpec": "Volumes:[Volume] InitContainers:[Container] Containers:[Container] EphemeralContainers:[EphemeralContainer] "
    "RestartPolicy:s TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy:s NodeSelector ServiceAccountName:s "
    "AutomountServiceAccountToken NodeName:s SecurityContext:*PodSecurityContext ImagePullSecrets:[Name] Hostname:s "
    "Subdomain:s SetHostnameAsFQDN Affinity:*Affinity SchedulerName:s Tolerations:[Toleration] HostAliases:[HostAlias] "
    "PriorityClassName:s Priority PreemptionPolicy DNSConfig:*DNSConfig ReadinessGates RuntimeClassName Overhead "
    "EnableServiceLinks TopologySpreadConstraints:[Spread] OS:*Name SchedulingGates:[Name] ResourceClaims:[PodClaim] "
    "Resources:*Resources HostnameOverride SchedulingGroup",
    "Container": _CONTAINER,
    "EphemeralContainer": f"{_CONTAINER} TargetContainerName:s",
    "PodSecurityContext": "HostNetwork:b HostPID:b HostIPC:b ShareProcessNamespace HostUsers SELinuxOptions:*SELinux "
    "WindowsOptions RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups SupplementalGroupsPolicy FSGroup FSGroupChangePolicy "
    "Sysctls:[NameValue] SeccompProfile:*Profile AppArmorProfile:*Profile SELinuxChangePolicy",
    "SecurityContext": "Capabilities:*Capabilities Privileged SELinuxOptions:*SELinux WindowsOptions RunAsUser RunAsGroup "
    "RunAsNonRoot ReadOnlyRootFilesystem AllowPrivilegeEscalation ProcMount SeccompProfile:*Profile AppArmorProfile:*Profile",
    "Capabilities": "Add Drop",
    "SELinux": "User:s Role:s Type:s Level:s",
    "Profile": "Type:s LocalhostProfile",
    "Resources": "Limits Requests Claims:[DeviceClaim]",
    "DeviceClaim": "Name:s Request:s",
    "ResizePolicy": "ResourceName:s RestartPolicy:s",
    "ContainerPort": "Name:s HostPort:i ContainerPort:i Protocol:s HostIP:s",
    "EnvVar": "Name:s Value:s ValueFrom:*ValueFrom",
    "EnvFrom": "Prefix:s ConfigMapRef:*Optional SecretRef:*Optional",
    "Optional": "Name:s Optional",
    "ValueFrom": "FieldRef:*FieldRef ResourceFieldRef:*ResourceFieldRef ConfigMapKeyRef:*KeyRef SecretKeyRef:*KeyRef FileKeyRef",
    "FieldRef": "APIVersion:s FieldPath:s",
    "ResourceFieldRef": "ContainerName:s Resource:s Divisor:q",
    "KeyRef": "Name:s Key:s Optional",
    "VolumeMount": "Name:s ReadOnly:b RecursiveReadOnly MountPath:s SubPath:s MountPropagation SubPathExpr:s",
    "Probe": "Exec:*Exec HTTPGet:*HTTPGet TCPSocket:*TCPSocket GRPC:*GRPC InitialDelaySeconds:i TimeoutSeconds:i "
    "PeriodSeconds:i SuccessThreshold:i FailureThreshold:i TerminationGracePeriodSeconds",
    "Lifecycle": "PostStart:*Handler PreStop:*Handler StopSignal",
    "Handler": "Exec:*Exec HTTPGet:*HTTPGet TCPSocket:*TCPSocket Sleep:*Sleep",
    "Exec": "Command",
    "HTTPGet": "Path:s Port:i Host:s Scheme:s HTTPHeaders:[NameValue]",
    "TCPSocket": "Port:i Host:s",
    "GRPC": "Port:i Service",
    "Sleep": "Seconds:i",
    "NameValue": "Name:s Value:s",
    "Name": "Name:s",
    "Toleration": "Key:s Operator:s Value:s Effect:s TolerationSeconds",
    "HostAlias": "IP:s Hostnames",
    "DNSConfig": "Nameservers Searches Options:[DNSOption]",
    "DNSOption": "Name:s Value",
    "Spread": "MaxSkew:i TopologyKey:s WhenUnsatisfiable:s LabelSelector:v MinDomains NodeAffinityPolicy NodeTaintsPolicy "
    "MatchLabelKeys",
    "PodClaim": "Name:s ResourceClaimName ResourceClaimTemplateName",
    "Affinity": "NodeAffinity PodAffinity PodAntiAffinity",
    "NodeSelectorTerm": "MatchExpressions:[Requirement] MatchFields:[Requirement]",
    "SuccessPolicy": "Rules:[SuccessRule]",
    "SuccessRule": "SucceededIndexes SucceededCount",
    "FailurePolicy": "Rules:[FailureRule]",
    "FailureRule": "Action:s OnExitCodes:*ExitCodes OnPodConditions:[PodConditionPattern]",
    "ExitCodes": "ContainerName Operator:s Values",
    "PodConditionPattern": "Type:s Status:s",
    "ScopeSelector": "MatchExpressions:[ScopeRequirement]",
    "ScopeRequirement": "ScopeName:s Operator:s Values",
    "Requirement": "Key:s Operator:s Values",
    "Volume": "Name:s HostPath:*HostPath EmptyDir:*EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret:*Secret NFS "
    "ISCSI Glusterfs PersistentVolumeClaim:*Claim RBD Quobyte FlexVolume Cinder CephFS Flocker DownwardAPI:*DownwardAPI FC "
    "AzureFile ConfigMap:*ConfigMap VsphereVolume AzureDisk PhotonPersistentDisk Projected:*Projected PortworxVolume ScaleIO "
    "StorageOS CSI Ephemeral Image",
    "HostPath": "Path:s Type",
    "EmptyDir": "Medium:s SizeLimit",
    "Secret": "SecretName:s Items:[KeyToPath] DefaultMode Optional",
    "ConfigMap": "Name:s Items:[KeyToPath] DefaultMode Optional",
    "KeyToPath": "Key:s Path:s Mode",
    "Claim": "ClaimName:s ReadOnly:b",
    "DownwardAPI": "Items:[DownwardFile] DefaultMode",
    "DownwardFile": "Path:s FieldRef:*FieldRef ResourceFieldRef:*ResourceFieldRef Mode",
    "Projected": "Sources:[Projection] DefaultMode",
    "Projection": "Secret:*ProjectedKeys DownwardAPI:*ProjectedFields ConfigMap:*ProjectedKeys ServiceAccountToken:*Token "
    "ClusterTrustBundle PodCertificate",
    "ProjectedKeys": "Name:s Items:[KeyToPath] Optional",
    "ProjectedFields": "Items:[DownwardFile]",
    "Token": "Audience:s ExpirationSeconds:i Path:s",
    "ClaimSpec": "AccessModes Selector:v Resources:Amounts VolumeName:s StorageClassName VolumeMode DataSource:*Source "
    "DataSourceRef:*SourceRef VolumeAttributesClassName",
    "Amounts": "Limits Requests",
    "Source": "APIGroup Kind:s Name:s",
    "SourceRef": "APIGroup Kind:s Name:s Namespace",
    "FlowSchemaSpec": "PriorityLevelConfiguration:Name MatchingPrecedence:i DistinguisherMethod:*Type Rules:[FlowRule]",
    "Type": "Type:s",
    "FlowRule": "Subjects:[FlowSubject] ResourceRules:[FlowResources] NonResourceRules:[FlowPaths]",
    "FlowSubject": "Kind:s User:*Name Group:*Name ServiceAccount:*Account",
    "Account": "Namespace:s Name:s",
    "FlowResources": "Verbs APIGroups Resources ClusterScope:b Namespaces",
    "FlowPaths": "Verbs NonResourceURLs",
    "PriorityLevelConfigurationSpec": "Type:s Limited:*Limited Exempt:*Exempt",
    "Limited": "NominalConcurrencyShares:i LimitResponse:LimitResponse LendablePercent BorrowingLimitPercent",
    "LimitResponse": "Type:s Queuing:*Queuing",
    "Queuing": "Queues:i HandSize:i QueueLengthLimit:i",
    "Exempt": "NominalConcurrencyShares LendablePercent",
}
"""Struct -> its fields in order: `Field` may be null, `:s :b :i :q` have a zero value, `:Struct :*Struct :[Struct]` nest, and
`:v` is shown as users write it."""
_ZERO: Mapping[str, Any] = {"s": "", "b": False, "i": 0, "q": "0"}
_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_LEADING = re.compile(r"[A-Z]+(?![a-z])|[A-Z]")


@cache
def _fields(struct: str) -> tuple[tuple[str, str, str], ...]:
    """(Go name, JSON name, type) of each field."""
    found = []
    for field in _STRUCTS[struct].split():
        name, _, kind = field.partition(":")
        found.append((name, _LEADING.sub(lambda run: run[0].lower(), name, count=1), kind))
    return tuple(found)


def shown(value: Obj, struct: str) -> Obj:
    """`value` as users write it, in the internal form; quantities and times stay text."""
    if struct == "PodSpec":
        moved = {key: value[key] for key in _HOST if key in value}
        value = {**value, "securityContext": {**(value.get("securityContext") or {}), **moved}}
    return {name: _field(value.get(key), kind) for name, key, kind in _fields(struct)}


def _field(value: Any, kind: str) -> Any:
    if kind == "v":
        return value
    if kind in _ZERO:
        return _ZERO[kind] if value is None else value
    if kind.startswith("["):
        return None if not value else [shown(item, kind[1:-1]) for item in value]
    if kind.startswith("*"):
        return None if value is None else shown(value, kind[1:])
    if kind:
        return shown(value or {}, kind)
    return _capitalised(value) if isinstance(value, dict) and _is_struct(value) else value


def _is_struct(value: Obj) -> bool:
    """A map from names to texts (labels, amounts) is shown with its keys as they are."""
    return any(isinstance(item, dict | list | bool | int) for item in value.values())


def _capitalised(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitalised(item) for key, item in value.items()}
    return [_capitalised(item) for item in value] if isinstance(value, list) else value
