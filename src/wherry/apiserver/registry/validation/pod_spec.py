"""A pod spec, wherever it stands: in a Pod at `spec`, in a workload at `spec.template.spec`."""

from __future__ import annotations

import re

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import object_meta
from wherry.apiserver.registry.validation import (
    containers,
    pod_annotations,
    pod_os,
    pod_resources,
    resources,
    scheduling,
    security,
    volumes,
)
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import ip_address

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS = 3, 32, 2048
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
)
_SEARCH = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*\Z")


def pod_spec(spec: Obj, path: str, pod_name: str = "", is_pod: bool = False) -> list[Cause]:
    """Everything that can be said without looking at other objects. `pod_name` is "" in templates."""
    sources, causes = volumes.volumes(f.as_list(spec.get("volumes")), f"{path}.volumes", pod_name)
    causes += containers.containers(spec, sources, path, is_pod)
    causes += f.one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES, need=True)
    causes += f.one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", DNS_POLICIES, need=True)
    causes += f.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += security.pod_security_context(spec, path)
    causes += scheduling.affinity(spec.get("affinity"), f"{path}.affinity")
    causes += _dns_config(spec, path)
    for i, gate in enumerate(f.as_list(spec.get("readinessGates"))):
        causes += f.qualified(gate.get("conditionType") or "", f"{path}.readinessGates[{i}].conditionType")
    causes += _scheduling_gates(f.as_list(spec.get("schedulingGates")), f"{path}.schedulingGates")
    causes += scheduling.topology_spread(
        f.as_list(spec.get("topologySpreadConstraints")), f"{path}.topologySpreadConstraints"
    )
    causes += _names(spec, path)
    causes += _numbers(spec, path)
    causes += scheduling.tolerations(f.as_list(spec.get("tolerations")), f"{path}.tolerations")
    causes += _host_aliases(f.as_list(spec.get("hostAliases")), f"{path}.hostAliases")
    causes += f.one_of(spec.get("preemptionPolicy"), f"{path}.preemptionPolicy", ("PreemptLowerPriority", "Never"))
    causes += resources.requirements({"limits": f.as_dict(spec.get("overhead"))}, (), f"{path}.overhead")
    if spec.get("os") is not None:
        name = spec["os"].get("name") or ""
        if not name:
            causes.append(f.required(f"{path}.os.name", "cannot be empty"))
        elif name not in ("linux", "windows"):
            causes.append(f.not_supported(f"{path}.os", name, ("linux", "windows")))
    causes += pod_os.rules(spec, path)
    causes += pod_resources.claims(f.as_list(spec.get("resourceClaims")), f"{path}.resourceClaims")
    return causes + pod_resources.shared(spec, f"{path}.resources")


def _names(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        value = spec.get(key)
        if value:
            causes += f.each_invalid(f"{path}.{key}", value, names.dns1123_subdomain(value))
    for key in ("hostname", "subdomain"):
        value = spec.get(key)
        if value:
            causes += f.each_invalid(f"{path}.{key}", value, names.dns1123_label(value))
    return causes


def _numbers(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        detail = "must be between 1 and 2147483647, inclusive"
        causes.append(f.invalid(f"{path}.activeDeadlineSeconds", deadline, detail))
    return causes + f.non_negative(spec.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds")


def _dns_config(spec: Obj, path: str) -> list[Cause]:
    config, policy = spec.get("dnsConfig"), spec.get("dnsPolicy")
    at = f"{path}.dnsConfig"
    if policy == "None":
        if config is None:
            return [f.required(at, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [f.required(f"{at}.nameservers", detail)]
    if config is None:
        return []
    causes: list[Cause] = []
    servers, searches = f.as_list(config.get("nameservers")), f.as_list(config.get("searches"))
    if len(servers) > _MAX_NAMESERVERS:
        detail = f"must not have more than {_MAX_NAMESERVERS} nameservers"
        causes.append(f.invalid(f"{at}.nameservers", servers, detail))
    for i, server in enumerate(servers):
        causes += ip_address(server, f"{at}.nameservers[{i}]")
    if len(searches) > _MAX_SEARCHES:
        causes.append(f.invalid(f"{at}.searches", searches, f"must not have more than {_MAX_SEARCHES} search paths"))
    if len(" ".join(searches)) > _MAX_SEARCH_CHARACTERS:
        detail = f"must not have more than {_MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        causes.append(f.invalid(f"{at}.searches", searches, detail))
    for i, search in enumerate(searches):
        if search != "." and not _SEARCH.match(search.removesuffix(".")):
            causes.append(f.invalid(f"{at}.searches[{i}]", search, _SEARCH_TEXT))
    for i, option in enumerate(f.as_list(config.get("options"))):
        if not option.get("name"):
            causes.append(f.required(f"{at}.options[{i}]", "must not be empty"))
    return causes


def _scheduling_gates(gates: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, gate in enumerate(gates):
        name = gate.get("name") or ""
        causes += f.qualified(name, f"{path}[{i}]")
        if name in seen:
            causes.append(f.duplicate(f"{path}[{i}]", name))
        seen.add(name)
    return causes


def _host_aliases(aliases: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, alias in enumerate(aliases):
        causes += ip_address(alias.get("ip") or "", f"{path}[{i}].ip")
        for k, name in enumerate(f.as_list(alias.get("hostnames"))):
            causes += f.each_invalid(f"{path}[{i}].hostnames[{k}]", name, names.dns1123_subdomain(name))
    return causes


def template(value: Obj, path: str) -> list[Cause]:
    """A PodTemplateSpec; `path` is that of the template."""
    metadata = f.as_dict(value.get("metadata"))
    causes = f.labels(metadata.get("labels"), f"{path}.labels")
    annotations, spec = f.as_dict(metadata.get("annotations")), f.as_dict(value.get("spec"))
    causes += object_meta.validate_annotations(annotations, f"{path}.annotations")
    causes += pod_annotations.rules(annotations, spec, f"{path}.annotations")
    causes += pod_spec(spec, f"{path}.spec") + pod_annotations.agreeing(annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        causes.append(f.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return causes
