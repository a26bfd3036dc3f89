"""The status of a pod: its addresses in both spellings, and containers that may not rise from the dead."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import ip_address, parse_ip

_ONE_PER_FAMILY = "may specify no more than one IP for each IP family"
_STAYS_DEAD = "may not be transitioned to non-terminated state"


def sync_addresses(status: Obj) -> None:
    """`podIP` is the first of `podIPs`, `hostIP` of `hostIPs`; where they differ the single one wins."""
    for one, many in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        single, listed = status.get(one), status.get(many)
        if single and (not listed or listed[0].get("ip") != single):
            status[many] = [{"ip": single}]
        elif listed and not single:
            status[one] = listed[0].get("ip")


def fill(status: Obj) -> None:
    """What Go writes although nobody said it: moments that are not known, a last state that never was."""
    for condition in status.get("conditions") or []:
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(key) or []:
            for state in ("state", "lastState"):
                _fill_state(entry.setdefault(state, {}))
            for name, zero in (("ready", False), ("restartCount", 0), ("image", ""), ("imageID", "")):
                entry.setdefault(name, zero)


def _fill_state(state: Obj) -> None:
    if state.get("running") is not None:
        state["running"].setdefault("startedAt", None)
    ended = state.get("terminated")
    if ended is not None:
        ended.setdefault("exitCode", 0)
        ended.setdefault("startedAt", None)
        ended.setdefault("finishedAt", None)


def validate(obj: Obj, old: Obj) -> list[Cause]:
    status, before = f.as_dict(obj.get("status")), f.as_dict(old.get("status"))
    causes = _addresses(f.as_list(status.get("podIPs")), "status.podIPs")
    causes += _addresses(f.as_list(status.get("hostIPs")), "status.hostIPs")
    nominated = status.get("nominatedNodeName")
    if nominated:
        causes += f.each_invalid("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    if obj["spec"].get("restartPolicy") != "Always":
        retry = obj["spec"].get("restartPolicy") == "OnFailure"
        for key, may_retry in (("containerStatuses", retry), ("initContainerStatuses", True)):
            causes += _transitions(f.as_list(status.get(key)), f.as_list(before.get(key)), may_retry, f"status.{key}")
    return causes


def _addresses(listed: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    families: list[int] = []
    for i, entry in enumerate(listed):
        causes += ip_address(entry.get("ip") or "", f"{path}[{i}]")
        address = parse_ip(entry.get("ip") or "")
        if address is not None:
            families.append(address.version)
    if len(families) != len(set(families)) or len(listed) > 2:
        causes.append(f.invalid(path, [{"IP": entry.get("ip")} for entry in listed], _ONE_PER_FAMILY))
    return causes


def _transitions(new: list[Obj], old: list[Obj], may_retry: bool, path: str) -> list[Cause]:
    """A container that ended does not run again, unless it failed and its policy retries."""
    after = {entry.get("name"): entry for entry in new}
    causes: list[Cause] = []
    for i, entry in enumerate(old):
        ended = f.as_dict(entry.get("state")).get("terminated")
        if ended is None or (ended.get("exitCode") and may_retry):
            continue
        now = after.get(entry.get("name"))
        if now is not None and f.as_dict(now.get("state")).get("terminated") is None:
            causes.append(f.forbidden(f"{path}[{i}].state", _STAYS_DEAD))
    return causes
