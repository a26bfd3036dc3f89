"""What Kubernetes fills into a pod spec when nobody said it: containers, probes, volumes, policies.

Shared by pods and by every template of pods. Two things only a pod gets: `enableServiceLinks` and requests copied from
limits; a template is stored without them. Drafts are filled in place.
"""

from __future__ import annotations

from typing import Any

from wherry.api.quantity import Quantity
from wherry.api.types import Obj

FILE_MODE = 0o644
TOKEN_SECONDS = 3600
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

_VOLUME_DEFAULTS: dict[str, Obj] = {
    "secret": {"defaultMode": FILE_MODE},
    "configMap": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE},
    "projected": {"defaultMode": FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_pod(spec: Obj) -> None:
    """A pod's own spec."""
    default_pod_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or []:
            _requests_from_limits(container["resources"])
    if spec.get("resources"):
        _requests_from_limits(spec["resources"])


def default_template(template: Obj) -> None:
    """A PodTemplateSpec."""
    if template.get("metadata") is None:
        template["metadata"] = {}
    if template.get("spec") is None:
        template["spec"] = {}
    default_pod_spec(template["spec"])


def default_pod_spec(spec: Obj) -> None:
    """What pods and templates share."""
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
    )
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for key in CONTAINER_LISTS:
        for container in spec.get(key) or []:
            _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or []:
        default_volume(volume)
    if spec.get("resources"):
        canonical_resources(spec["resources"])
    if spec.get("overhead"):
        spec["overhead"] = canonical_list(spec["overhead"])


def _fill(target: Obj, **defaults: Any) -> None:
    """Zero values of Go stand for absent, except numbers a user may mean."""
    for key, value in defaults.items():
        if target.get(key) is None or target[key] == "":
            target[key] = value


def _container(container: Obj, host_network: bool) -> None:
    container.setdefault("name", "")
    if container.get("resources") is None:
        container["resources"] = {}
    canonical_resources(container["resources"])
    _fill(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=pull_policy(container.get("image") or ""),
    )
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")
        if host_network and not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort", 0)
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        _field_source(source)
    for key in PROBES:
        if container.get(key) is not None:
            _probe(container[key])
    lifecycle = container.get("lifecycle") or {}
    # A field of a feature that is off in 1.36: dropped from what is new, as the API server does.
    if lifecycle.pop("stopSignal", None) is not None and not lifecycle:
        del container["lifecycle"]
    for key in ("postStart", "preStop"):
        if lifecycle.get(key) and lifecycle[key].get("httpGet") is not None:
            _http_get(lifecycle[key]["httpGet"])


def _probe(probe: Obj) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    if probe.get("httpGet") is not None:
        _http_get(probe["httpGet"])
    grpc = probe.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _http_get(action: Obj) -> None:
    _fill(action, path="/", scheme="HTTP")


def _field_source(source: Obj) -> None:
    """`fieldRef` and `resourceFieldRef`, in the environment and in downward API files."""
    if source.get("fieldRef") is not None:
        _fill(source["fieldRef"], apiVersion="v1")
    if source.get("resourceFieldRef") is not None:
        reference = source["resourceFieldRef"]
        reference["divisor"] = str(Quantity.parse(reference.get("divisor") or "0"))


def default_volume(volume: Obj) -> None:
    """A volume without a source is an emptyDir."""
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    for key in [key for key, value in volume.items() if value is None]:
        del volume[key]
    if not sources:
        volume["emptyDir"] = {}
    for kind in sources:
        source = volume[kind]
        for key, value in _VOLUME_DEFAULTS.get(kind, {}).items():
            if source.get(key) is None:
                source[key] = value
    empty = volume.get("emptyDir")
    if empty and empty.get("sizeLimit") is not None:
        empty["sizeLimit"] = str(Quantity.parse(empty["sizeLimit"]))
    for item in (volume.get("downwardAPI") or {}).get("items") or []:
        _field_source(item)
    for projected in (volume.get("projected") or {}).get("sources") or []:
        _projection(projected)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template:
        spec = template.setdefault("spec", {})
        _fill(spec, volumeMode="Filesystem")
        canonical_resources(spec.setdefault("resources", {}))


def _projection(source: Obj) -> None:
    token = source.get("serviceAccountToken")
    if token is not None and token.get("expirationSeconds") is None:
        token["expirationSeconds"] = TOKEN_SECONDS
    for item in (source.get("downwardAPI") or {}).get("items") or []:
        _field_source(item)


def pull_policy(image: str) -> str:
    """`Always` for `latest` and for no tag at all; a digest pins, so it needs no pull."""
    if not image or "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def canonical_resources(resources: Obj) -> None:
    """ResourceRequirements: quantities in canonical form, rounded up to thousandths."""
    for key in ("limits", "requests"):
        if resources.get(key):
            resources[key] = canonical_list(resources[key])


def canonical_list(quantities: Obj) -> Obj:
    """A ResourceList in canonical form."""
    return {name: str(Quantity.parse(value).round_up_milli()) for name, value in quantities.items()}


def _requests_from_limits(resources: Obj) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
