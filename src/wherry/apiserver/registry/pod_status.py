"""The status of a pod: its addresses in both spellings, and containers that may not rise from the dead."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_annotations
from wherry.apiserver.registry.validation.addresses import ip_address, parse_ip

_ONE_PER_FAMILY = "may specify no more than one IP for each IP family"
_OWN_CONDITIONS = ("Initialized", "PodScheduled", "Ready")
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
    now, then = (f.as_dict(each["metadata"].get("annotations")) for each in (obj, old))
    causes = pod_annotations.kept(now, then, "metadata.annotations")
    causes += pod_annotations.rules(now, obj["spec"], "metadata.annotations")
    for i, condition in enumerate(f.as_list(status.get("conditions"))):
        if condition.get("type") not in _OWN_CONDITIONS:
            # The path is Kubernetes'.
            causes += f.qualified(condition.get("type") or "", f"metadata.conditions[{i}].Type")
    causes += _addresses(f.as_list(status.get("podIPs")), "status.podIPs")
    causes += _host(status)
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        causes += f.each_invalid("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    causes += f.unchanged(status.get("qosClass"), before.get("qosClass"), "status.qosClass")
    causes += _ended(status, before, obj["spec"])
    return causes + _claims(f.as_list(status.get("resourceClaimStatuses")), obj["spec"], "status.resourceClaimStatuses")


def _host(status: Obj) -> list[Cause]:
    listed, path = f.as_list(status.get("hostIPs")), "status.hostIPs"
    causes = _addresses(listed, path)
    if listed and listed[0].get("ip") != (status.get("hostIP") or ""):
        causes.append(f.invalid(f"{path}[0].ip", listed[0].get("ip") or "", "must be equal to `hostIP`"))
    return causes


def _ended(status: Obj, before: Obj, spec: Obj) -> list[Cause]:
    """Containers that ended, of all three kinds; a debug container never runs again."""
    policy = spec.get("restartPolicy")
    sidecars = {
        each.get("name") for each in f.as_list(spec.get("initContainers")) if each.get("restartPolicy") == "Always"
    }
    causes: list[Cause] = []
    for key, retry in (
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", ""),
    ):
        if retry != "Always":
            old = [{} if each.get("name") in sidecars else each for each in f.as_list(before.get(key))]
            causes += _transitions(f.as_list(status.get(key)), old, retry == "OnFailure", f"status.{key}")
    return causes


def _claims(listed: list[Obj], spec: Obj, path: str) -> list[Cause]:
    """What became of the pod's claims for devices."""
    known = {claim.get("name") for claim in f.as_list(spec.get("resourceClaims"))}
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, entry in enumerate(listed):
        name, claim, at = entry.get("name") or "", entry.get("resourceClaimName"), f"{path}[{i}].name"
        if name not in known:
            causes.append(f.invalid(at, name, "must match the name of an entry in `spec.resourceClaims`"))
        if name in seen:
            causes.append(f.duplicate(at, name))
        seen.add(name)
        causes += f.each_invalid(at, claim, names.dns1123_subdomain(claim)) if claim is not None else []
    return causes


def _addresses(listed: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    families: list[int] = []
    for i, entry in enumerate(listed):
        causes += ip_address(entry.get("ip") or "", f"{path}[{i}]")
        if entry in listed[:i]:
            causes.append(f.duplicate(f"{path}[{i}]", {"IP": entry.get("ip")}))
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
