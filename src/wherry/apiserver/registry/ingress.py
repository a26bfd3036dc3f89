"""Ingresses and their classes."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import parse_ip
from wherry.apiserver.registry.validation.service import ingress_points

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CONTROLLER_BYTES_MAX = 250
_BAD_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_OLD_CLASS = "kubernetes.io/ingress.class"


class IngressStrategy(BuiltIn):
    empty_status = {"loadBalancer": {}}  # noqa: RUF012 - a constant

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        annotated, named = (
            f.as_dict(obj["metadata"].get("annotations")).get(_OLD_CLASS),
            obj["spec"].get("ingressClassName"),
        )
        causes = self.validate(obj)
        if annotated is not None and named is not None and annotated != named:
            detail = "must match `ingressClassName` when both are specified"
            causes.append(f.invalid(f"annotations.{_OLD_CLASS}", annotated, detail))
        return causes

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        rules, backend = f.as_list(spec.get("rules")), spec.get("defaultBackend")
        causes: list[Cause] = []
        if not rules and backend is None:
            detail = "either `defaultBackend` or `rules` must be specified"
            causes.append(f.invalid("spec", None, detail))
        if backend is not None:
            causes += _backend(backend, "spec.defaultBackend")
        for i, rule in enumerate(rules):
            causes += _rule(rule, f"spec.rules[{i}]")
        for i, tls in enumerate(f.as_list(spec.get("tls"))):
            for k, host in enumerate(f.as_list(tls.get("hosts"))):
                causes += f.each_invalid(f"spec.tls[{i}].hosts[{k}]", host, _host(host))
            secret = tls.get("secretName") or ""
            if secret:
                causes += f.each_invalid(f"spec.tls[{i}].secretName", secret, names.dns1123_subdomain(secret))
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
    return names.wildcard_subdomain(host) if "*" in host else names.dns1123_subdomain(host)


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
        return [f.required(f"{at}.pathType", "pathType must be specified")]
    if kind not in PATH_TYPES:
        causes.append(f.not_supported(f"{at}.pathType", kind, PATH_TYPES))
    elif (path or kind != "ImplementationSpecific") and not path.startswith("/"):
        causes.append(f.invalid(f"{at}.path", path, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        texts = [f"must not contain '{part}'" for part in _BAD_PARTS if part in path]
        texts += [f"cannot end with '{end}'" for end in _BAD_ENDS if path.endswith(end)]
        causes += f.each_invalid(f"{at}.path", path, texts)
    return causes + _backend(f.as_dict(entry.get("backend")), f"{at}.backend")


def _backend(backend: Obj, path: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [f.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [f.invalid(path, "", "resource or service backend is required")]
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


def _reference(reference: Obj, path: str) -> list[Cause]:
    """Group, kind and name of an object beside a Service."""
    group = reference.get("apiGroup")
    causes = [] if group is None else f.each_invalid(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    for key in ("kind", "name"):
        value, at = reference.get(key) or "", f"{path}.{key}"
        causes += (
            f.each_invalid(at, value, names.path_segment(value)) if value else [f.required(at, f"{key} is required")]
        )
    return causes


class IngressClassStrategy(BuiltIn):
    has_generation = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        if obj["spec"].get("parameters") is not None:
            fill(obj["spec"]["parameters"], scope="Cluster")

    def validate(self, obj: Obj) -> list[Cause]:
        controller, path = obj["spec"].get("controller") or "", "spec.controller"
        causes = [f.too_long(path, CONTROLLER_BYTES_MAX)] if len(controller.encode()) > CONTROLLER_BYTES_MAX else []
        causes += f.domain_prefixed_path(controller, path)
        parameters = obj["spec"].get("parameters")
        return causes if parameters is None else causes + _parameters(parameters, "spec.parameters")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj["spec"].get("controller"), old["spec"].get("controller"), "spec.controller")


def _parameters(parameters: Obj, path: str) -> list[Cause]:
    causes = _reference(parameters, path)
    scope, namespace, at = parameters.get("scope") or "", parameters.get("namespace"), f"{path}.namespace"
    if scope not in ("Cluster", "Namespace"):
        causes.append(f.not_supported(f"{path}.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace" and namespace is None:
        causes.append(f.required(at, "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        causes += f.each_invalid(at, namespace, names.dns1123_label(namespace or ""))
    elif namespace is not None:
        causes.append(f.forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    return causes
