"""Checks of what a pod's processes may become: privileged, root, more than they were started with."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security.words import (
    Violation,
    containers,
    context,
    in_user_namespace,
    is_windows,
    named,
    quoted,
    setters,
    some,
)

_DEFAULT_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
     "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
_WINDOWS_SINCE, _USER_NAMESPACES_SINCE = 25, 35
"""Minor versions of the standards from which on these pods are excused."""


def privileged(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names = named(spec, lambda each: context(each).get("privileged"))
    return (
        Violation("privileged", f"{some('container', names)} must not set securityContext.privileged=true")
        if names
        else None
    )


def escalation(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= _WINDOWS_SINCE and is_windows(spec):
        return None
    names = named(spec, lambda each: context(each).get("allowPrivilegeEscalation") is not False)
    what = f"{some('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", what) if names else None


def _added(container: Obj, allowed: frozenset[str]) -> set[str]:
    return set((context(container).get("capabilities") or {}).get("add") or ()) - allowed


def _adders(spec: Obj, allowed: frozenset[str]) -> str:
    """Who adds which capabilities beyond those; "" for nobody."""
    names = named(spec, lambda each: _added(each, allowed))
    if not names:
        return ""
    extra = sorted(set().union(*(_added(each, allowed) for each in containers(spec))))
    return f"{some('container', names)} must not include {quoted(extra)} in securityContext.capabilities.add"


def default_capabilities(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    who = _adders(spec, _DEFAULT_CAPABILITIES)
    return Violation("non-default capabilities", who) if who else None


def no_capabilities(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= _WINDOWS_SINCE and is_windows(spec):
        return None
    keeping = named(spec, lambda each: "ALL" not in ((context(each).get("capabilities") or {}).get("drop") or ()))
    dropping = f'{some("container", keeping)} must set securityContext.capabilities.drop=["ALL"]' if keeping else ""
    what = "; ".join(filter(None, (dropping, _adders(spec, frozenset({"NET_BIND_SERVICE"})))))
    return Violation("unrestricted capabilities", what) if what else None


def non_root(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= _USER_NAMESPACES_SINCE and in_user_namespace(spec):
        return None
    pod, reason = context(spec).get("runAsNonRoot"), "runAsNonRoot != true"
    who = setters(pod is False, named(spec, lambda each: context(each).get("runAsNonRoot") is False))
    if who:
        return Violation(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = named(spec, lambda each: context(each).get("runAsNonRoot") is None)
    if pod or not silent:
        return None
    return Violation(reason, f"pod or {some('container', silent)} must set securityContext.runAsNonRoot=true")


def not_user_zero(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= _USER_NAMESPACES_SINCE and in_user_namespace(spec):
        return None
    who = setters(context(spec).get("runAsUser") == 0, named(spec, lambda each: context(each).get("runAsUser") == 0))
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None
