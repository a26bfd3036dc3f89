"""What a pod of one operating system may not say because only the other has it."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_NOT_ON_LINUX = "windows options cannot be set for a linux pod"
_POD_CONTEXT = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"),
    *("runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy"),
)
_CONTAINER_CONTEXT = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged"),
    *("allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"),
)


def rules(spec: Obj, path: str) -> list[Cause]:
    """By spec.os.name; a pod that says none may say anything."""
    name = f.as_dict(spec.get("os")).get("name")
    if name == "windows":
        return _windows(spec, path)
    return _linux(spec, path) if name == "linux" else []


def _contexts(spec: Obj, path: str) -> list[tuple[Obj, str]]:
    """(security context, its path) of every container that has one."""
    found = []
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(f.as_list(spec.get(kind))):
            if container.get("securityContext") is not None:
                found.append((container["securityContext"], f"{path}.{kind}[{i}].securityContext"))
    return found


def _windows(spec: Obj, path: str) -> list[Cause]:
    context = f.as_dict(spec.get("securityContext"))
    said = [f"{path}.securityContext.{key}" for key in _POD_CONTEXT if context.get(key) is not None]
    said += [f"{path}.hostUsers"] if spec.get("hostUsers") is not None else []
    said += [f"{path}.{key}" for key in ("hostPID", "hostIPC") if spec.get(key)]
    said += [f"{path}.shareProcessNamespace"] if spec.get("shareProcessNamespace") is not None else []
    for own, at in _contexts(spec, path):
        said += [f"{at}.{key}" for key in _CONTAINER_CONTEXT if own.get(key) is not None]
    return [f.forbidden(at, _NOT_ON_WINDOWS) for at in said]


def _linux(spec: Obj, path: str) -> list[Cause]:
    contexts = [(f.as_dict(spec.get("securityContext")), f"{path}.securityContext"), *_contexts(spec, path)]
    return [f.forbidden(f"{at}.windowsOptions", _NOT_ON_LINUX) for own, at in contexts if own.get("windowsOptions")]
