"""APIServices: which server answers for a group and version: we ourselves (no `spec.service`) or a Service of the cluster.

`aggregation/` acts on them. Source: what Kubernetes documents of apiregistration.k8s.io/v1.
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import PathNamed
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f

LOCAL = ("True", "Local", "Local APIServices are always available")
AVAILABLE = "Available"


class APIServiceStrategy(PathNamed):
    """Names are not DNS names: the core group's is `v1.`."""

    allow_unconditional_update = False
    has_generation = False

    def default(self, obj: Obj) -> None:
        service = obj.get("spec", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {}
        if not obj.get("spec", {}).get("service"):
            obj["status"] = {"conditions": [condition(*LOCAL, rfc3339(ctx.clock.time()))]}

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj.get("spec", {})
        group, version = spec.get("group", ""), spec.get("version", "")
        needed, name = f"{version}.{group}", obj["metadata"].get("name", "")
        causes: list[Cause] = []
        if name != needed:
            causes.append(f.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: {f.quote(needed)}'))
        if not group and version != "v1":
            causes.append(f.required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
        if group:
            causes += f.each_invalid("spec.group", group, names.dns1123_subdomain(group))
        causes += f.each_invalid("spec.version", version, names.dns1035_label(version))
        for key, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            value = spec.get(key, 0)
            if not 0 < value <= limit:
                causes.append(f.invalid(f"spec.{key}", value, f"must be positive and less than {limit}"))
        return causes + _backend(spec)


def _backend(spec: Obj) -> list[Cause]:
    """Who answers, and how we know that it is them."""
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    causes: list[Cause] = []
    if service is None:
        if bundle:
            size = f"{len(bundle) * 3 // 4} bytes"
            causes.append(f.invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            causes.append(f.invalid("spec.insecureSkipTLSVerify", True, text))
        return causes
    causes += [f.required(f"spec.service.{key}") for key in ("namespace", "name") if not service.get(key)]
    port = service.get("port")
    if f.port_number(port, ""):
        causes.append(f.invalid("spec.service.port", port, f"port is not valid: {f.PORT_RANGE}"))
    if insecure and bundle:
        causes.append(f.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return causes


def condition(status: str, reason: str, message: str, now: str) -> Obj:
    """The condition `Available`."""
    return {"type": AVAILABLE, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
