"""What a way of writing never changes, so that it cannot be owned through it: status by the object itself, spec by its
status. Kubernetes' strategies say the same (GetResetFields); named here where a kind has more to say.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

from wherry.apiserver.apply.field_set import EMPTY, FieldSet, of_path, union


def _fields(*paths: str) -> FieldSet:
    sets = (of_path(tuple(f"f:{name}" for name in path.split("."))) for path in paths)
    return reduce(union, sets, EMPTY)


_STATUS: Final = _fields("status")
_SPEC: Final = _fields("spec")
_BY_KIND: Final[dict[tuple[str, str, str], FieldSet]] = {
    ("", "pods", "status"): _fields("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("apps", "deployments", "status"): _fields("spec", "metadata.labels"),
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): _fields("spec", "status.certificate"),
    ("certificates.k8s.io", "certificatesigningrequests", "status"): _fields("spec"),
    ("", "namespaces", "finalize"): _STATUS,
}
_CUSTOM_STATUS: Final = _fields("spec", "metadata")


def reset_fields(group: str, resource: str, subresource: str, has_status: bool, custom: bool) -> FieldSet:
    """Field set of a resource's path; `custom` for custom resources."""
    found = _BY_KIND.get((group, resource, subresource))
    if found is not None:
        return found
    if subresource == "status":
        return _CUSTOM_STATUS if custom else _SPEC
    return _STATUS if has_status and not subresource else EMPTY
