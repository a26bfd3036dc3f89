"""Annotations of pods and of their templates that Kubernetes reads: older spellings of security profiles, a mirror pod's mark.

Not here: which of them deserve a warning (`pod_warnings.py`), and metadata in general (`object_meta.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from wherry.api.errors import Cause
from wherry.api.integers import capped
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.volume_files import descending

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_INT32 = 2**31
_SECCOMP = {"RuntimeDefault": ("runtime/default", "docker/default"), "Unconfined": ("unconfined",)}
_APPARMOR = {"RuntimeDefault": ("runtime/default",), "Unconfined": ("unconfined",)}
_LOCALHOST = "localhost/"


def rules(annotations: Obj, spec: Obj, path: str) -> list[Cause]:
    """Each by itself; `path` is that of the annotations."""
    causes: list[Cause] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        causes.append(f.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], detail))
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_INTEGER.fullmatch(cost) and -_INT32 <= capped(cost) < _INT32):
        causes.append(f.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP):
            causes += _seccomp(value, f"{path}.{key}")
        elif key.startswith(APPARMOR):
            causes += _app_armor(key.removeprefix(APPARMOR), value, spec, f"{path}[{key}]")
    return causes


def _seccomp(value: str, path: str) -> list[Cause]:
    if value.startswith(_LOCALHOST):
        return descending(value.removeprefix(_LOCALHOST), path)
    known = (*_SECCOMP["RuntimeDefault"], *_SECCOMP["Unconfined"])
    return [] if value in known else [f.invalid(path, value, "must be a valid seccomp profile")]


def _app_armor(container: str, value: str, spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if all(each.get("name") != container for each, _ in containers(spec, "")):
        causes.append(f.invalid(path, container, "container not found"))
    if value not in ("", "runtime/default", "unconfined") and not value.startswith(_LOCALHOST):
        causes.append(f.invalid(path, value, f"invalid AppArmor profile name: {f.quote(value)}"))
    return causes


def containers(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    """(container, its path) of every kind."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(f.as_list(spec.get(kind))):
            yield container, f"{path}.{kind}[{i}]"


def agreeing(annotations: Obj, spec: Obj, path: str) -> list[Cause]:
    """Profiles said both ways must say the same; `path` is that of the pod spec."""
    if not any(key == SECCOMP_POD or key.startswith((SECCOMP, APPARMOR)) for key in annotations):
        return []
    own = f.as_dict(spec.get("securityContext"))
    causes: list[Cause] = []
    if own.get("seccompProfile") is not None and SECCOMP_POD in annotations:
        at = f"{path}.securityContext.seccompProfile"
        causes += _same(annotations[SECCOMP_POD], own["seccompProfile"], _SECCOMP, "seccomp", at)
    for container, where in containers(spec, path):
        context, at = f.as_dict(container.get("securityContext")), f"{where}.securityContext"
        profile, said = context.get("seccompProfile"), annotations.get(SECCOMP + (container.get("name") or ""))
        if profile is not None and said is not None:
            causes += _same(said, profile, _SECCOMP, "seccomp", f"{at}.seccompProfile")
        profile = context.get("appArmorProfile") or own.get("appArmorProfile")
        said = annotations.get(APPARMOR + (container.get("name") or ""))
        if profile is not None and said is not None and f.as_dict(spec.get("os")).get("name") != "windows":
            causes += _same(said, profile, _APPARMOR, "apparmor", f"{at}.appArmorProfile")
    return causes


def _same(said: str, profile: Obj, known: Mapping[str, tuple[str, ...]], what: str, path: str) -> list[Cause]:
    kind = profile.get("type") or ""
    if kind == "Localhost" and said.startswith(_LOCALHOST):
        if said.removeprefix(_LOCALHOST) == profile.get("localhostProfile"):
            return []
        return [f.forbidden(f"{path}.localhostProfile", f"{what} profile in annotation and field must match")]
    if (kind in known and said in known[kind]) or kind not in (*known, "Localhost"):
        return []
    return [f.forbidden(f"{path}.type", f"{what} type in annotation and field must match")]


def kept(new: Obj, old: Obj, path: str) -> list[Cause]:
    """What an update may not do to them."""
    causes: list[Cause] = []
    for key, value in old.items():
        if new.get(key) != value:
            if key.startswith(APPARMOR):
                causes.append(f.forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations"))
            elif key == MIRROR:
                causes.append(f.forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation"))
    for key in new.keys() - old.keys():
        if key.startswith(APPARMOR):
            causes.append(f.forbidden(f"{path}[{key}]", "may not add AppArmor annotations"))
        elif key == MIRROR:
            causes.append(f.forbidden(f"{path}[{key}]", "may not add mirror pod annotation"))
    return causes
