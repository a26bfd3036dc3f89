"""AdmissionReview, pure: what is asked of a webhook, and what its answer means.

Shapes and rules as in admission.k8s.io/v1 and v1beta1; the texts of what is wrong with an answer are Kubernetes'.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from wherry.api import json
from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form, own_form
from wherry.apiserver.admission.matching import is_namespace
from wherry.apiserver.admission.request import AdmissionRequest

GROUP = "admission.k8s.io"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_FROM_QUERY = ("fieldManager", "fieldValidation")


class BadAnswer(ValueError):
    """The answer is no AdmissionReview that could be one."""


class Unreadable(ValueError):
    """The answer has the wrong types: no client of Kubernetes' could decode it."""


_TYPES: dict[str, tuple[type, str]] = {
    "uid": (str, "types.UID"), "allowed": (bool, "bool"), "status": (dict, "v1.Status"), "patch": (str, "[]uint8"),
    "patchType": (str, "v1.PatchType"), "warnings": (list, "[]string"), "auditAnnotations": (dict, "map[string]string"),
}  # fmt: skip
_STATUS_TYPES: dict[str, tuple[type, str]] = {
    "message": (str, "string"), "reason": (str, "v1.StatusReason"), "code": (int, "int32"), "details": (dict, "v1.StatusDetails"),
}  # fmt: skip


class Verdict(Struct, frozen=True):
    """`patch` is a list of RFC 6902 operations; `status` what the webhook says of a refusal (metav1.Status or {})."""

    allowed: bool
    status: Obj = field(default_factory=dict)
    patch: list[Any] | None = None
    warnings: tuple[str, ...] = ()
    annotations: Obj = field(default_factory=dict)


def review(request: AdmissionRequest, form: Form, uid: str, version: str) -> Obj:
    """The whole AdmissionReview to be sent."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": f"{GROUP}/{version}",
        "request": {"uid": uid, **asked(request, form)},
    }


def asked(request: AdmissionRequest, form: Form) -> Obj:
    """AdmissionRequest but for its uid: also the variable `request` of CEL expressions."""
    own = own_form(request)
    said: Obj = {"kind": form.kind.to_dict(), "resource": _resource(form)}
    if request.subresource:
        said["subResource"] = request.subresource
    said["requestKind"], said["requestResource"] = own.kind.to_dict(), _resource(own)
    if request.subresource:
        said["requestSubResource"] = request.subresource
    if request.name:
        said["name"] = request.name
    namespace = request.name if is_namespace(request) else request.namespace
    if namespace:
        said["namespace"] = namespace
    said["operation"] = request.operation
    said["userInfo"] = request.user.to_user_info()
    said["object"], said["oldObject"] = form.shown(request.object), form.shown(request.old_object)
    said["dryRun"] = request.dry_run
    said["options"] = _options(request)
    return said


def _resource(form: Form) -> Obj:
    resource = form.resource
    return {"group": resource.group, "version": resource.version, "resource": resource.resource}


def _options(request: AdmissionRequest) -> Obj | None:
    kind = _OPTIONS.get(request.operation)
    if kind is None:
        return None
    options: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if request.operation == "DELETE":
        return {**request.options, **options}
    if request.dry_run:
        options["dryRun"] = ["All"]
    return options | {key: request.options[key] for key in _FROM_QUERY if request.options.get(key)}


def verdict(answer: Any, uid: str, version: str, mutating: bool) -> Verdict:
    """What a decoded answer says. Raises BadAnswer, Unreadable."""
    if not isinstance(answer, dict):
        raise Unreadable(f"json: cannot unmarshal {_json_type(answer)} into Go value of type {version}.AdmissionReview")
    response = answer.get("response")
    if response is None:
        raise BadAnswer("webhook response was absent")
    if not isinstance(response, dict):
        raise _misfit(response, "AdmissionReview.response", f"{version}.AdmissionResponse")
    response = _typed(response, "AdmissionReview.response", _TYPES)
    status = _typed(response.get("status") or {}, "AdmissionReview.response.status", _STATUS_TYPES)
    if version == "v1":
        _check(answer, response, uid, mutating)
    return Verdict(
        allowed=response.get("allowed") is True,
        status=status,
        patch=_patch(response, version) if mutating else None,
        warnings=tuple(_strings(response.get("warnings") or (), "AdmissionReview.response.warnings")),
        annotations=response.get("auditAnnotations") or {},
    )


def _typed(value: Obj, path: str, types: dict[str, tuple[type, str]]) -> Obj:
    """The fields we know of, nulls left out. Raises Unreadable."""
    found = {key: value[key] for key in types if value.get(key) is not None}
    for key, item in found.items():
        kind, shown = types[key]
        if not isinstance(item, kind) or (kind is int and isinstance(item, bool)):
            raise _misfit(item, f"{path}.{key}", shown)
    _strings((found.get("auditAnnotations") or {}).values(), f"{path}.auditAnnotations")
    return found


def _strings(values: Iterable[Any], path: str) -> Iterable[str]:
    values = list(values)
    for value in values:
        if not isinstance(value, str):
            raise _misfit(value, path, "string")
    return values


def _json_type(value: Any) -> str:
    """In Go's words."""
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", type(None): "null"}
    return names.get(type(value), "number")


def _misfit(value: Any, path: str, kind: str) -> Unreadable:
    return Unreadable(f"json: cannot unmarshal {_json_type(value)} into Go struct field {path} of type {kind}")


def _check(answer: Obj, response: Obj, uid: str, mutating: bool) -> None:
    """What v1 insists on."""
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    said_version, said_kind = answer.get("apiVersion") or "/", answer.get("kind") or ""
    if (said_version, said_kind) != (f"{GROUP}/v1", "AdmissionReview"):
        got = f"{said_version}, Kind={said_kind}"
        raise BadAnswer(f"expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {got}")
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        for key, value in (("patch", patch), ("patchType", kind)):
            if value:
                raise BadAnswer(f"validating webhook may not return response.{key}")
    elif patch and kind is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    elif kind is not None and not patch:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    elif kind == "":
        raise BadAnswer('webhook returned invalid response.patchType of ""')


def _patch(response: Obj, version: str) -> list[Any] | None:
    text = response.get("patch")
    if not text:
        return None
    kind = response.get("patchType") if version == "v1" else "JSONPatch"
    if kind != "JSONPatch":
        raise BadAnswer(f'unsupported patch type "{kind}"')
    try:
        operations = json.decode(base64.b64decode(text, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadAnswer(f"webhook returned a response.patch that cannot be read: {error}") from None
    if not isinstance(operations, list):
        raise BadAnswer("webhook returned a response.patch that is no list of operations")
    return operations


def refusal(name: str, status: Obj) -> StatusError:
    """The error of a webhook that said no, in its own words as far as it has some. Never less than a 400."""
    denied = f'admission webhook "{name}" denied the request'
    message, reason = status.get("message") or "", status.get("reason") or ""
    text = f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    code = status.get("code") or 0
    return StatusError(code if 400 <= code < 600 else 400, reason, text, status.get("details"))
