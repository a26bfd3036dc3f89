"""Security contexts of pods and containers."""

from __future__ import annotations

import re

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import internal_form
from wherry.apiserver.registry.validation.volume_files import descending

_ID_RANGE = "must be between 0 and 2147483647, inclusive"
_PATH_MAX = 4095
_SPEC_MAX = 64 * 1024
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*\Z")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex "
    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)

_OF_THE_HOST = {
    "hostNetwork": ("net.",),
    "hostIPC": ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."),
}
"""Namespace a pod shares with its node -> parameters that would be the node's."""


def _id(value: int | None, path: str) -> list[Cause]:
    return [] if value is None or 0 <= value <= 2147483647 else [f.invalid(path, value, _ID_RANGE)]


def pod_security_context(spec: Obj, path: str) -> list[Cause]:
    """`path` is that of the pod spec: the host namespaces live beside securityContext."""
    context = f.as_dict(spec.get("securityContext"))
    at = f"{path}.securityContext"
    causes: list[Cause] = []
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        causes += _id(context.get(key), f"{at}.{key}")
    for i, group in enumerate(f.as_list(context.get("supplementalGroups"))):
        causes += _id(group, f"{at}.supplementalGroups[{i}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(f.invalid(f"{at}.shareProcessNamespace", True, detail))
    causes += _sysctls(f.as_list(context.get("sysctls")), spec, f"{at}.sysctls")
    causes += f.one_of(context.get("fsGroupChangePolicy"), f"{at}.fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    causes += f.one_of(context.get("supplementalGroupsPolicy"), f"{at}.supplementalGroupsPolicy", ("Merge", "Strict"))
    causes += _seccomp(context.get("seccompProfile"), f"{at}.seccompProfile")
    causes += _app_armor(context.get("appArmorProfile"), f"{at}.appArmorProfile")
    causes += _windows_options(context.get("windowsOptions"), f"{at}.windowsOptions")
    causes += f.one_of(context.get("seLinuxChangePolicy"), f"{at}.seLinuxChangePolicy", ("MountOption", "Recursive"))
    if spec.get("hostUsers") is False:
        causes += [
            f.forbidden(f"{path}.{key}", "when `hostUsers` is false")
            for key in ("hostNetwork", "hostPID", "hostIPC")
            if spec.get(key)
        ]
    return causes


def _sysctls(listed: list[Obj], spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, sysctl in enumerate(listed):
        name = sysctl.get("name") or ""
        at = f"{path}[{i}].name"
        if not name:
            causes.append(f.required(at))
        elif len(name) > 253 or not _SYSCTL.match(name):
            causes.append(f.invalid(at, name, _SYSCTL_TEXT))
        elif name in seen:
            causes.append(f.duplicate(at, name))
        seen.add(name)
        for key, prefixes in _OF_THE_HOST.items():
            if spec.get(key) and name.replace("/", ".").startswith(prefixes):
                causes.append(f.invalid(at, name, f"may not be specified when '{key}' is true"))
    return causes


def _seccomp(profile: Obj | None, path: str) -> list[Cause]:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    causes = f.one_of(kind, f"{path}.type", _PROFILE_TYPES)
    if not kind:
        causes.append(f.required(f"{path}.type", "type is required when seccompProfile is set"))
    if kind == "Localhost" and local is None:
        causes.append(f.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
    elif kind == "Localhost":
        causes += descending(local or "", f"{path}.localhostProfile")
    elif local is not None:
        shown = internal_form.shown(profile, "Profile")
        causes.append(f.invalid(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost"))
    return causes


def _app_armor(profile: Obj | None, path: str) -> list[Cause]:
    if profile is None:
        return []
    kind, local, at = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [f.required(f"{path}.type", "type is required when appArmorProfile is set")]
    causes = f.one_of(kind, f"{path}.type", _PROFILE_TYPES)
    if kind == "Localhost":
        if local is not None and local != local.strip():
            causes.append(f.invalid(at, local, "must not be padded with whitespace"))
        elif not local:
            causes.append(f.required(at, "must be set when AppArmor type is Localhost"))
        elif len(local.encode()) > _PATH_MAX:
            causes.append(f.too_long(at, _PATH_MAX))
    elif local is not None and kind in _PROFILE_TYPES:
        causes.append(f.invalid(at, local, "can only be set when AppArmor type is Localhost"))
    return causes


def _windows_options(options: Obj | None, path: str) -> list[Cause]:
    """Names and specifications of Windows accounts; nothing here runs them."""
    causes: list[Cause] = []
    name, spec, user = (
        f.as_dict(options).get(key) for key in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName")
    )
    if name is not None:
        causes += f.each_invalid(f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if spec == "":
        causes.append(f.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string"))
    elif spec is not None and len(spec) > _SPEC_MAX:
        detail = f"gmsaCredentialSpec size must be under {_SPEC_MAX // 1024} KiB"
        causes.append(f.invalid(f"{path}.gmsaCredentialSpec", spec, detail))
    if user == "":
        causes.append(f.invalid(f"{path}.runAsUserName", user, "runAsUserName cannot be an empty string"))
    return causes


def container_security_context(context: Obj | None, path: str, host_users: bool = True) -> list[Cause]:
    """`host_users`: whether user 0 of the pod is the node's."""
    if context is None:
        return []
    causes = _id(context.get("runAsUser"), f"{path}.runAsUser") + _id(context.get("runAsGroup"), f"{path}.runAsGroup")
    causes += f.one_of(context.get("procMount"), f"{path}.procMount", ("Default", "Unmasked"))
    if host_users and context.get("procMount") == "Unmasked":
        causes.append(f.invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"))
    causes += _app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    causes += _windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    causes += _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        added = f.as_list(f.as_dict(context.get("capabilities")).get("add"))
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            causes.append(f.invalid(path, internal_form.shown(context, "SecurityContext"), detail))
        if "CAP_SYS_ADMIN" in added or "SYS_ADMIN" in added:
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            causes.append(f.invalid(path, internal_form.shown(context, "SecurityContext"), detail))
    return causes
