"""What a pod makes its node need: the Secrets, ConfigMaps, claims and account its spec names.

Pure. Fields: Kubernetes' Pod v1; volumes of retired drivers name their Secret as `secretRef` or `secretName` like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.registry.validation.field import as_dict, as_list

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_SECRET_REFERENCES = ("secretRef", "nodePublishSecretRef")


def secrets(pod: Obj) -> Iterator[str]:
    """Names of Secrets in the pod's namespace."""
    spec = as_dict(pod.get("spec"))
    for reference in as_list(spec.get("imagePullSecrets")):
        yield _name(reference)
    yield from _environment(spec, "secretRef", "secretKeyRef")
    for volume in as_list(spec.get("volumes")):
        yield as_dict(volume.get("secret")).get("secretName", "")
        for source in volume.values():
            if isinstance(source, dict):
                yield from (_name(source.get(key)) for key in _SECRET_REFERENCES)
        yield as_dict(volume.get("azureFile")).get("secretName", "")
        yield from _projected(volume, "secret")


def config_maps(pod: Obj) -> Iterator[str]:
    spec = as_dict(pod.get("spec"))
    yield from _environment(spec, "configMapRef", "configMapKeyRef")
    for volume in as_list(spec.get("volumes")):
        yield _name(volume.get("configMap"))
        yield from _projected(volume, "configMap")


def claims(pod: Obj) -> Iterator[str]:
    """Names of PersistentVolumeClaims, those of ephemeral volumes too."""
    for volume in as_list(as_dict(pod.get("spec")).get("volumes")):
        yield as_dict(volume.get("persistentVolumeClaim")).get("claimName", "")
        if volume.get("ephemeral"):
            yield f"{pod['metadata']['name']}-{volume.get('name', '')}"


def accounts(pod: Obj) -> Iterator[str]:
    yield as_dict(pod.get("spec")).get("serviceAccountName", "")


def audiences(pod: Obj) -> Iterator[str]:
    """Whom the tokens in its volumes are for; "" is the API server."""
    for volume in as_list(as_dict(pod.get("spec")).get("volumes")):
        for source in as_list(as_dict(volume.get("projected")).get("sources")):
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"].get("audience") or ""


def resource_claims(pod: Obj) -> Iterator[str]:
    """Names of ResourceClaims, those made from templates as the status says them."""
    for each in as_list(as_dict(pod.get("spec")).get("resourceClaims")):
        yield each.get("resourceClaimName") or ""
    for each in as_list(as_dict(pod.get("status")).get("resourceClaimStatuses")):
        yield each.get("resourceClaimName") or ""


def _environment(spec: Obj, whole: str, key: str) -> Iterator[str]:
    for group in _CONTAINERS:
        for container in as_list(spec.get(group)):
            for source in as_list(container.get("envFrom")):
                yield _name(source.get(whole))
            for variable in as_list(container.get("env")):
                yield _name(as_dict(variable.get("valueFrom")).get(key))


def _projected(volume: Obj, kind: str) -> Iterator[str]:
    for source in as_list(as_dict(volume.get("projected")).get("sources")):
        yield _name(source.get(kind))


def _name(reference: Any) -> str:
    return reference.get("name", "") if isinstance(reference, dict) else ""
