"""What a pod or template may still say but probably should not: texts of `Warning` headers."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api import names
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

OLD_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
_OLD_SINCE = {key: "v1.17" if "failure-domain" in key or "instance" in key else "v1.14" for key in OLD_LABELS}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/")
_OLD_VOLUMES = {
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def pod(obj: Obj) -> list[str]:
    """Of a Pod; its name becomes a host name."""
    found = list(_spec(obj["metadata"], obj["spec"], "", "spec"))
    name = obj["metadata"].get("name") or ""
    problems = ["must not contain dots"] if "." in name else names.dns1123_label(name)
    if name and problems:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )
    return found


def template(value: Obj, path: str) -> list[str]:
    """Of a PodTemplateSpec at `path`."""
    return list(_spec(f.as_dict(value.get("metadata")), f.as_dict(value.get("spec")), f"{path}.", f"{path}.spec"))


def _spec(metadata: Obj, spec: Obj, above: str, path: str) -> Iterator[str]:
    for key in f.as_dict(spec.get("nodeSelector")):
        if key in OLD_LABELS:
            yield f'{path}.nodeSelector[{key}]: deprecated since {_OLD_SINCE[key]}; use "{OLD_LABELS[key]}" instead'
    for i, constraint in enumerate(f.as_list(spec.get("topologySpreadConstraints"))):
        at, key = f"{path}.topologySpreadConstraints[{i}]", constraint.get("topologyKey")
        if key in OLD_LABELS:
            yield f'{at}.topologyKey: {key} is deprecated since {_OLD_SINCE[key]}; use "{OLD_LABELS[key]}" instead'
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"
    yield from _affinity(f.as_dict(spec.get("affinity")), f"{path}.affinity")
    yield from _annotations(metadata, spec, above)
    yield from _volumes(spec, path)
    for i, secret in enumerate(f.as_list(spec.get("imagePullSecrets"))):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{i}].name: invalid empty name ""'
    for key in ("initContainers", "containers"):
        for i, container in enumerate(f.as_list(spec.get(key))):
            yield from _container(container, f"{path}.{key}[{i}]")


def _affinity(affinity: Obj, path: str) -> Iterator[str]:
    """Labels by their old names, and terms that pick no pod at all."""
    required, preferred = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    nodes, at = f.as_dict(affinity.get("nodeAffinity")), f"{path}.nodeAffinity"
    terms = f.as_list(f.as_dict(nodes.get(required)).get("nodeSelectorTerms"))
    for i, term in enumerate(terms):
        yield from _old_keys(term, f"{at}.{required}.nodeSelectorTerms[{i}]")
    for i, each in enumerate(f.as_list(nodes.get(preferred))):
        yield from _old_keys(f.as_dict(each.get("preference")), f"{at}.{preferred}[{i}].preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        rules, at = f.as_dict(affinity.get(kind)), f"{path}.{kind}"
        places = [(term, f"{at}.{required}[{i}]") for i, term in enumerate(f.as_list(rules.get(required)))]
        places += [
            (f.as_dict(each.get("podAffinityTerm")), f"{at}.{preferred}[{i}].podAffinityTerm")
            for i, each in enumerate(f.as_list(rules.get(preferred)))
        ]
        for term, place in places:
            if term.get("labelSelector") is None:
                yield f"{place}.labelSelector: a null labelSelector results in matching no pod"


def _old_keys(term: Obj, path: str) -> Iterator[str]:
    for i, expression in enumerate(f.as_list(term.get("matchExpressions"))):
        key = expression.get("key")
        if key in OLD_LABELS:
            at = f"{path}.matchExpressions[{i}].key"
            yield f'{at}: {key} is deprecated since {_OLD_SINCE[key]}; use "{OLD_LABELS[key]}" instead'


def _annotations(metadata: Obj, spec: Obj, above: str) -> Iterator[str]:
    annotations = f.as_dict(metadata.get("annotations"))
    for key in sorted(annotations):
        at = f"{above}metadata.annotations[{key}]"
        if key.startswith(_APPARMOR):
            yield f'{at}: deprecated since v1.30; use the "appArmorProfile" field instead'
        elif key.startswith(_SECCOMP):
            yield f'{at}: non-functional in v1.27+; use the "seccompProfile" field instead'


def _volumes(spec: Obj, path: str) -> Iterator[str]:
    for i, volume in enumerate(f.as_list(spec.get("volumes"))):
        for kind, why in _OLD_VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{path}.volumes[{i}].{kind}: {why}"
        projected = volume.get("projected")
        if projected is not None and not any(f.as_list(projected.get("sources"))):
            yield f'volume "{volume.get("name")}" (Projected) has no sources provided'


def _container(container: Obj, path: str) -> Iterator[str]:
    resources = f.as_dict(container.get("resources"))
    for side in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            value = f.as_dict(resources.get(side)).get(name)
            if value is not None and Quantity.parse(value).milli_value() % 1000:
                yield f'{path}.resources.{side}[{name}]: fractional byte value "{value}" is invalid, must be an integer'
    seen: set[str] = set()
    for i, variable in enumerate(f.as_list(container.get("env"))):
        name = variable.get("name") or ""
        if name in seen:
            yield f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)
    ports: dict[tuple[int, str, str, int], int] = {}
    for i, port in enumerate(f.as_list(container.get("ports"))):
        key = (
            port.get("containerPort") or 0,
            port.get("protocol") or "",
            port.get("hostIP") or "",
            port.get("hostPort") or 0,
        )
        if key in ports:
            yield f"{path}.ports[{i}]: duplicate port definition with {path}.ports[{ports[key]}]"
        ports.setdefault(key, i)
