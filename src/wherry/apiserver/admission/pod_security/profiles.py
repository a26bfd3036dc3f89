"""Checks of the confinement a pod asks for: AppArmor, seccomp, SELinux."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security.words import (
    Violation,
    containers,
    context,
    is_windows,
    named,
    plural,
    quoted,
    setters,
    some,
)

_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t")
_ENGINE_SINCE, _WINDOWS_SINCE = 31, 25


def _bad_types(spec: Obj, key: str) -> tuple[str, list[str]]:
    """(who sets a profile's type to something else, to what)."""

    def bad(holder: Obj) -> bool:
        profile = context(holder).get(key)
        return profile is not None and profile.get("type") not in _PROFILES

    holders = [each for each in (spec, *containers(spec)) if bad(each)]
    values = sorted({context(each)[key].get("type") or "" for each in holders})
    return setters(bad(spec), named(spec, bad)), values


def apparmor(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    who, values = _bad_types(spec, "appArmorProfile")
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    values += annotations
    if annotations:
        who = " and ".join(filter(None, (who, plural("annotation", len(annotations)))))
    reason = plural("forbidden AppArmor profile", len(values))
    return Violation(reason, f"{who} must not set AppArmor profile type to {quoted(values)}") if who else None


def seccomp(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    """Baseline: no profile is fine, an open one is not."""
    who, values = _bad_types(spec, "seccompProfile")
    what = f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Violation("seccompProfile", what) if who else None


def seccomp_annotations(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    """Baseline before 1.19, when there was no field."""
    annotations = metadata.get("annotations") or {}
    keys = [_SECCOMP_POD, *(f"{_SECCOMP}{each.get('name', '')}" for each in containers(spec))]
    bad = sorted(
        f'{key}="{annotations[key]}"'
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    return Violation("seccompProfile", f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}") if bad else None


def seccomp_required(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    """Restricted: somebody must ask for one."""
    if minor >= _WINDOWS_SINCE and is_windows(spec):
        return None
    open_one = seccomp(metadata, spec, minor)
    if open_one is not None or context(spec).get("seccompProfile") is not None:
        return open_one
    silent = named(spec, lambda each: context(each).get("seccompProfile") is None)
    if not silent:
        return None
    kinds = '"RuntimeDefault" or "Localhost"'
    what = f"pod or {some('container', silent)} must set securityContext.seccompProfile.type to {kinds}"
    return Violation("seccompProfile", what)


def selinux(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = (*_SELINUX_TYPES, "container_engine_t") if minor >= _ENGINE_SINCE else _SELINUX_TYPES

    def options(holder: Obj) -> Obj:
        found: Obj = context(holder).get("seLinuxOptions") or {}
        return found

    def bad(holder: Obj) -> bool:
        chosen = options(holder)
        return bool((chosen.get("type") or "") not in allowed or chosen.get("user") or chosen.get("role"))

    who = setters(bad(spec), named(spec, bad))
    if not who:
        return None
    chosen = [options(each) for each in (spec, *containers(spec))]
    types = sorted({each.get("type") or "" for each in chosen} - set(allowed))
    what = [some("type", types)] if types else []
    what += [f"{key} may not be set" for key in ("user", "role") if any(each.get(key) for each in chosen)]
    return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}")
