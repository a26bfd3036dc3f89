"""Cluster IPs and node ports of one Service: keep what it has, choose what it lacks, give back what it loses.

All of it is decided before validation, as in Kubernetes: a refused write gives back what it took (`Context.on_failure`).
One address family: this cluster is IPv4 only.
"""

from __future__ import annotations

from typing import Any

from wherry.api.errors import Cause, StatusError, invalid
from wherry.api.types import Obj
from wherry.apiserver.registry.allocation import NODE_PORTS, SERVICE_IPS
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.service import address_rules

HEADLESS = "None"
WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")


def needs_address(spec: Obj) -> bool:
    return spec.get("type") in WITH_ADDRESS


def needs_node_ports(spec: Obj) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def is_external(spec: Obj) -> bool:
    """Reachable from outside: the types with ports on nodes, and a ClusterIP with external addresses."""
    return spec.get("type") in ("NodePort", "LoadBalancer") or (
        spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def normalize(spec: Obj, before: Obj | None) -> None:
    """`clusterIP` and `clusterIPs` say the same; whoever wrote only one of them meant both."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if before is None:
        if one and not many:
            spec["clusterIPs"] = [one]
        return
    if one != (before.get("clusterIP") or ""):
        if many == (before.get("clusterIPs") or []):
            many = [one] if one else []
    elif not many and before.get("clusterIPs"):
        one = ""
    _set(spec, "clusterIP", one)
    _set(spec, "clusterIPs", many)


def keep_allocated(spec: Obj, before: Obj) -> None:
    """What the server chose and the writer left out stays."""
    if needs_address(spec) and needs_address(before):
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            _set(spec, "clusterIPs", before.get("clusterIPs"))
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key):
                _set(spec, key, before.get(key))
    if needs_node_ports(spec) and needs_node_ports(before):
        _keep_node_ports(spec, before)
    if _needs_health_port(spec) and _needs_health_port(before) and not spec.get("healthCheckNodePort"):
        _set(spec, "healthCheckNodePort", before.get("healthCheckNodePort"))


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    """By the port's name, unless another port of the new spec has taken the number."""
    old = {port.get("name") or "": port.get("nodePort") or 0 for port in f.as_list(before.get("ports"))}
    used = {port.get("nodePort") for port in f.as_list(spec.get("ports"))}
    for port in f.as_list(spec.get("ports")):
        number = old.get(port.get("name") or "", 0)
        if not port.get("nodePort") and number and number not in used:
            port["nodePort"] = number
            used.add(number)


def drop_with_type(spec: Obj, before: Obj) -> None:
    """A change of type takes with it what only the old type had, unless the writer changed that too."""
    if needs_address(before) and not needs_address(spec):
        for keys in (("clusterIP", "clusterIPs"), ("ipFamilies",), ("ipFamilyPolicy",)):
            if all(spec.get(key) == before.get(key) for key in keys):
                for key in keys:
                    spec.pop(key, None)
    if needs_node_ports(before) and not needs_node_ports(spec):
        old = [port.get("nodePort") for port in f.as_list(before.get("ports"))]
        if [port.get("nodePort") for port in f.as_list(spec.get("ports"))] == old:
            for port in f.as_list(spec.get("ports")):
                port.pop("nodePort", None)
    same_health_port = spec.get("healthCheckNodePort") == before.get("healthCheckNodePort")
    if same_health_port and _needs_health_port(before) and not _needs_health_port(spec):
        spec.pop("healthCheckNodePort", None)


def allocate(obj: Obj, old: Obj | None, ctx: Context) -> None:
    """Families, addresses and ports. Raises 422 with the cause Kubernetes gives."""
    spec = obj["spec"]
    before = old["spec"] if old is not None else {}
    causes = address_rules(spec) or _families(spec)
    if not causes and needs_address(spec):
        causes = _addresses(spec, before, ctx)
    if not causes:
        causes = _node_ports(spec, before, ctx)
    if causes:
        raise _refused(obj, causes)


def _refused(obj: Obj, causes: list[Cause]) -> StatusError:
    return invalid("Service", "", obj["metadata"].get("name", ""), causes)


def _families(spec: Obj) -> list[Cause]:
    """`ipFamilies` and `ipFamilyPolicy` of a cluster that has IPv4 only."""
    if not needs_address(spec):
        return []
    policy = spec.get("ipFamilyPolicy")
    families = spec.get("ipFamilies") or []
    headless_unselected = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    addresses = spec.get("clusterIPs") or []
    causes: list[Cause] = []
    if policy in (None, "SingleStack"):
        dual = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        several = (("cluster IPs are", addresses), ("IP families are", families))
        causes += [
            f.invalid("spec.ipFamilyPolicy", "SingleStack", f"{dual} {what} specified")
            for what, said in several
            if len(said) > 1
        ]
    for i, address in enumerate(addresses):
        # A better cause than that of a family which is only a conclusion.
        if i >= len(families) and ":" in address:
            causes.append(f.invalid(f"spec.clusterIPs[{i}]", addresses, "IPv6 is not configured on this cluster"))
    if causes and not headless_unselected:
        return causes
    if not headless_unselected:
        policy = policy or "SingleStack"
        if policy == "RequireDualStack":
            detail = "this cluster is not configured for dual-stack services"
            return [f.invalid("spec.ipFamilyPolicy", policy, detail)]
        unknown = [
            f.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")
            for i, family in enumerate(families)
            if family != "IPv4"
        ]
        if unknown:
            return unknown
        spec["ipFamilies"], spec["ipFamilyPolicy"] = ["IPv4"], policy
        return []
    # Nothing is allocated for these: their endpoints are whatever somebody writes, of both families.
    spec["ipFamilyPolicy"] = policy or "RequireDualStack"
    spec["ipFamilies"] = families or (["IPv4"] if policy == "SingleStack" else ["IPv4", "IPv6"])
    return []


def _addresses(spec: Obj, before: Obj, ctx: Context) -> list[Cause]:
    held = before.get("clusterIPs") or []
    wanted = spec.get("clusterIPs") or []
    if held or wanted == [HEADLESS]:
        return []  # another address than the one held is refused by validation
    allocator = ctx.allocators[SERVICE_IPS]
    try:
        address = allocator.allocate(wanted[0] if wanted else "")
    except ValueError as error:
        named = wanted[0] if wanted else "<nil>"
        return [f.invalid("spec.clusterIPs", wanted, f"failed to allocate IP {named}: {error}")]
    ctx.on_failure(lambda: allocator.release(address))
    spec["clusterIP"], spec["clusterIPs"] = address, [address]
    return []


def _node_ports(spec: Obj, before: Obj, ctx: Context) -> list[Cause]:
    allocator = ctx.allocators[NODE_PORTS]
    mine: dict[int, set[str]] = {}
    for number, protocol in _held(before):
        mine.setdefault(number, set()).add(protocol)
    if needs_node_ports(spec):
        used: dict[int, set[str]] = {}
        ports = f.as_list(spec.get("ports"))
        for i, port in sorted(enumerate(ports), key=lambda pair: not pair[1].get("nodePort")):
            cause = _node_port(port, f"spec.ports[{i}].nodePort", mine, used, allocator, ctx)
            if cause:
                return [cause]
    if _needs_health_port(spec) and spec.get("healthCheckNodePort") not in mine:
        try:
            number = int(allocator.allocate(str(spec.get("healthCheckNodePort") or "")))
        except ValueError as error:
            return [f.invalid("spec.healthCheckNodePort", spec.get("healthCheckNodePort"), str(error))]
        ctx.on_failure(lambda: allocator.release(str(number)))
        spec["healthCheckNodePort"] = number
    return []


def _node_port(
    port: Obj, path: str, mine: dict[int, set[str]], used: dict[int, set[str]], allocator: Any, ctx: Context
) -> Cause | None:
    """One number per name; within a Service the same number may serve two protocols."""
    protocol, wanted = port.get("protocol") or "TCP", port.get("nodePort") or 0
    if wanted and (wanted in mine or wanted in used):
        if protocol in used.get(wanted, set()):
            return f.invalid(path, wanted, "provided port is already allocated")
        used.setdefault(wanted, set()).add(protocol)
        return None
    try:
        number = int(allocator.allocate(str(wanted) if wanted else ""))
    except ValueError as error:
        return f.invalid(path, wanted, str(error))
    ctx.on_failure(lambda: allocator.release(str(number)))
    used.setdefault(number, set()).add(protocol)
    port["nodePort"] = number
    return None


def _needs_health_port(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _held(spec: Obj) -> list[tuple[int, str]]:
    """Numbers a stored spec holds, with their protocols."""
    held = [
        (port["nodePort"], port.get("protocol") or "TCP")
        for port in f.as_list(spec.get("ports"))
        if port.get("nodePort")
    ]
    if spec.get("healthCheckNodePort"):
        held.append((spec["healthCheckNodePort"], "TCP"))
    return held


def release_unused(spec: Obj, before: Obj, ctx: Context) -> None:
    """After the write stood: give back what only `before` held. `{}` stands for a deleted Service."""
    for address in set(before.get("clusterIPs") or []) - set(spec.get("clusterIPs") or []) - {HEADLESS}:
        ctx.allocators[SERVICE_IPS].release(address)
    for number in {held for held, _ in _held(before)} - {held for held, _ in _held(spec)}:
        ctx.allocators[NODE_PORTS].release(str(number))


def _set(spec: Obj, key: str, value: Any) -> None:
    """Empty means absent."""
    if value:
        spec[key] = value
    else:
        spec.pop(key, None)
