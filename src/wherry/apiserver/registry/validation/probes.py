"""Probes and lifecycle handlers: exactly one way to ask, sane numbers."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_MORE_THAN_ONE = "may not specify more than 1 handler type"


def probes(container: Obj, path: str, grace: int | None) -> list[Cause]:
    """The three probes of a container; `grace` is the pod's terminationGracePeriodSeconds."""
    causes: list[Cause] = []
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is None:
            continue
        at = f"{path}.{kind}"
        causes += _probe(probe, at, grace)
        own_grace = probe.get("terminationGracePeriodSeconds")
        if kind == "readinessProbe":
            if own_grace is not None:
                causes.append(
                    f.invalid(f"{at}.terminationGracePeriodSeconds", own_grace, "must not be set for readinessProbes")
                )
        elif probe.get("successThreshold", 1) != 1:
            causes.append(f.invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _probe(probe: Obj, path: str, grace: int | None) -> list[Cause]:
    causes = handler(probe, path, grace, ("exec", "httpGet", "tcpSocket", "grpc"))
    for key in _NUMBERS:
        causes += f.non_negative(probe.get(key), f"{path}.{key}")
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        causes.append(f.invalid(f"{path}.terminationGracePeriodSeconds", own_grace, "must be greater than 0"))
    return causes


def lifecycle(container: Obj, path: str, grace: int | None) -> list[Cause]:
    """postStart and preStop."""
    hooks = f.as_dict(container.get("lifecycle"))
    causes: list[Cause] = []
    for kind in ("postStart", "preStop"):
        if hooks.get(kind) is not None:
            causes += handler(hooks[kind], f"{path}.lifecycle.{kind}", grace, ("exec", "httpGet", "tcpSocket", "sleep"))
    return causes


def handler(action: Obj, path: str, grace: int | None, kinds: tuple[str, ...]) -> list[Cause]:
    """Exactly one of `kinds`."""
    given = [kind for kind in kinds if action.get(kind) is not None]
    if not given:
        return [f.required(path, "must specify a handler type")]
    causes = [f.forbidden(f"{path}.{kind}", _MORE_THAN_ONE) for kind in given[1:]]
    return _HANDLERS[given[0]](action[given[0]], f"{path}.{given[0]}", grace) + causes


def _exec(action: Obj, path: str, grace: int | None) -> list[Cause]:
    return [] if action.get("command") else [f.required(f"{path}.command")]


def _http_get(action: Obj, path: str, grace: int | None) -> list[Cause]:
    causes = [] if action.get("path") else [f.required(f"{path}.path")]
    causes += f.port_number_or_name(action.get("port"), f"{path}.port")
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        causes.append(f.not_supported(f"{path}.scheme", action.get("scheme") or "", ("HTTP", "HTTPS")))
    for header in f.as_list(action.get("httpHeaders")):
        name = header.get("name") or ""
        causes += f.each_invalid(f"{path}.httpHeaders", name, names.http_header_name(name))
    return causes


def _tcp_socket(action: Obj, path: str, grace: int | None) -> list[Cause]:
    return f.port_number_or_name(action.get("port"), f"{path}.port")


def _grpc(action: Obj, path: str, grace: int | None) -> list[Cause]:
    return f.port_number(action.get("port", 0), f"{path}.port")


def _sleep(action: Obj, path: str, grace: int | None) -> list[Cause]:
    seconds = action.get("seconds") or 0
    if grace is None or 0 <= seconds <= grace:
        return []
    return [f.invalid(path, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})")]


_HANDLERS = {"exec": _exec, "httpGet": _http_get, "tcpSocket": _tcp_socket, "grpc": _grpc, "sleep": _sleep}
