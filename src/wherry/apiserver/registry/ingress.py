"""Ingresses and their classes."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import parse_ip
from wherry.apiserver.registry.validation.service import ingress_points

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_OLD_CLASS = "kubernetes.io/ingress.class"


class IngressStrategy(BuiltIn):
    empty_status = {"loadBalancer": {}}  # noqa: RUF012 - a constant

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        rules, backend = f.as_list(spec.get("rules")), spec.get("defaultBackend")
        causes: list[Cause] = []
        if not rules and backend is None:
            detail = "either `defaultBackend` or `rules` must be specified"
            causes.append(f.invalid("spec", spec, detail))
        if backend is not None:
            causes += _backend(backend, "spec.defaultBackend")
        for i, rule in enumerate(rules):
            causes += _rule(rule, f"spec.rules[{i}]")
        for i, tls in enumerate(f.as_list(spec.get("tls"))):
            for k, host in enumerate(f.as_list(tls.get("hosts"))):
                causes += f.each_invalid(f"spec.tls[{i}].hosts[{k}]", host, _host(host))
        name = spec.get("ingressClassName")
        if name is not None:
            causes += f.each_invalid("spec.ingressClassName", name, names.dns1123_subdomain(name))
        return causes

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        balancer = f.as_dict(f.as_dict(obj.get("status")).get("loadBalancer"))
        return ingress_points(f.as_list(balancer.get("ingress")), "status.loadBalancer.ingress")

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        annotated = _OLD_CLASS in f.as_dict(obj["metadata"].get("annotations"))
        if old is None and annotated:
            return [f"annotation {f.quote(_OLD_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"]
        return []


def _host(host: str) -> list[str]:
    """A name, perhaps with a wildcard for its first label."""
    return names.dns1123_subdomain(host.removeprefix("*.") if host.startswith("*.") else host)


def _rule(rule: Obj, path: str) -> list[Cause]:
    host = rule.get("host") or ""
    causes: list[Cause] = []
    if host:
        if parse_ip(host) is not None:
            causes.append(f.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        causes += f.each_invalid(f"{path}.host", host, _host(host))
    http = rule.get("http")
    if http is None:
        return causes
    paths = f.as_list(http.get("paths"))
    if not paths:
        causes.append(f.required(f"{path}.http.paths"))
    for i, entry in enumerate(paths):
        causes += _path(entry, f"{path}.http.paths[{i}]")
    return causes


def _path(entry: Obj, at: str) -> list[Cause]:
    kind, path = entry.get("pathType"), entry.get("path") or ""
    causes: list[Cause] = []
    if kind is None:
        causes.append(f.required(f"{at}.pathType", "pathType must be specified"))
    elif kind not in PATH_TYPES:
        causes.append(f.not_supported(f"{at}.pathType", kind, PATH_TYPES))
    elif kind != "ImplementationSpecific" or path:
        if not path.startswith("/"):
            causes.append(f.invalid(f"{at}.path", path, "must be an absolute path"))
        elif kind != "ImplementationSpecific":
            causes += [
                f.invalid(f"{at}.path", path, f"must not contain '{part}'") for part in _BAD_PARTS if part in path
            ]
    return causes + _backend(f.as_dict(entry.get("backend")), f"{at}.backend")


def _backend(backend: Obj, path: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None:
        if service is not None:
            detail = "cannot set both resource and service backends"
            return [f.invalid(path, "", detail)]
        return [f.required(f"{path}.resource.{key}") for key in ("kind", "name") if not resource.get(key)]
    if service is None:
        return [f.required(path, "must specify a service or a resource backend")]
    name, port = service.get("name") or "", f.as_dict(service.get("port"))
    causes = [f.required(f"{path}.service.name")] if not name else []
    if name:
        causes += f.each_invalid(f"{path}.service.name", name, names.dns1123_label(name))
    number, named = port.get("number") or 0, port.get("name") or ""
    if number and named:
        causes.append(f.invalid(path, "", "cannot set both port name & port number"))
    elif named:
        causes += f.each_invalid(f"{path}.service.port.name", named, names.port_name(named))
    elif number:
        causes += f.port_number(number, f"{path}.service.port.number")
    else:
        causes.append(f.required(path, "port name or number is required"))
    return causes


class IngressClassStrategy(BuiltIn):
    has_generation = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        if obj["spec"].get("parameters") is not None:
            fill(obj["spec"]["parameters"], scope="Cluster")

    def validate(self, obj: Obj) -> list[Cause]:
        controller = obj["spec"].get("controller") or ""
        if not controller:
            return [f.required("spec.controller")]
        prefix, _, rest = controller.partition("/")
        if not rest or names.dns1123_subdomain(prefix):
            return [f.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')]
        return []

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj["spec"].get("controller"), old["spec"].get("controller"), "spec.controller")
