"""CertificateSigningRequests: who asks is who asked, the spec never changes, what was decided is never taken back.

Three ways in: the object itself (nothing of spec or status changes), `/approval` (conditions) and `/status` (certificate and
conditions other than Approved and Denied). Documented in "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar

from wherry.aio.clock import rfc3339
from wherry.api import certificate_request, names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import PathNamed, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
SECONDS_MIN = 600
DOMAIN_MAX, PATH_MAX = 253, 253 + 1 + 63
FINAL = ("Approved", "Denied", "Failed")
_IDENTITY = ("username", "uid", "groups", "extra")


class CertificateSigningRequestStrategy(PathNamed):
    """The kind certificates.k8s.io/v1 CertificateSigningRequest."""

    has_generation = False
    empty_status: ClassVar[Obj | None] = {}

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        """The requestor is the user of the request, whatever the object says."""
        super().prepare_create(obj, ctx)
        spec, info = obj["spec"], ctx.user.to_user_info()
        for key in _IDENTITY:
            spec.pop(key, None)
        spec.update({key: info[key] for key in _IDENTITY if key in info})

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        obj["spec"], obj["status"] = old["spec"], old.get("status", {})

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        status = obj.get("status") or {}
        obj["spec"], obj["status"] = old["spec"], status
        stamp(status, old.get("status") or {}, rfc3339(ctx.clock.time()))

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = _request(spec.get("request"))
        usages = f.as_list(spec.get("usages"))
        if not usages:
            causes.append(f.required("spec.usages"))
        for i, usage in enumerate(usages):
            if usage not in USAGES:
                causes.append(f.not_supported(f"spec.usages[{i}]", usage, USAGES))
            if usage in usages[:i]:
                causes.append(f.duplicate(f"spec.usages[{i}]", usage))
        causes += signer_name(spec.get("signerName") or "", "spec.signerName")
        if spec.get("signerName") == "kubernetes.io/legacy-unknown":
            detail = "the legacy signerName is not allowed via this API version"
            causes.append(f.invalid("spec.signerName", spec["signerName"], detail))
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < SECONDS_MIN:
            detail = "may not specify a duration less than 600 seconds (10 minutes)"
            causes.append(f.invalid("spec.expirationSeconds", seconds, detail))
        return causes

    def prepare_approval(self, obj: Obj, old: Obj, ctx: Context) -> None:
        """PUT and PATCH of `/approval`; the draft's status is the stored one but for its conditions."""
        stamp(obj["status"], old.get("status") or {}, rfc3339(ctx.clock.time()))

    def validate_approval(self, obj: Obj, old: Obj) -> list[Cause]:
        new = obj.get("status") or {}
        return _conditions(new) + _certificate(new) + _removed(new, old.get("status") or {})

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        """As for an approval, but Approved and Denied stay as they are, and a certificate once there."""
        causes = self.validate_approval(obj, old)
        for kind in ("Approved", "Denied"):
            new, known = _of_type(obj.get("status") or {}, kind), _of_type(old.get("status") or {}, kind)
            if len(new) > len(known):
                causes.append(f.forbidden("status.conditions", f'updates may not add a condition of type "{kind}"'))
            elif len(new) == len(known) and new != known:
                causes.append(f.forbidden("status.conditions", f'updates may not modify a condition of type "{kind}"'))
        before = (old.get("status") or {}).get("certificate")
        if before and (obj.get("status") or {}).get("certificate") != before:
            causes.append(f.forbidden("status.certificate", "updates may not modify existing certificate content"))
        return causes

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"spec.signerName": text(obj, "spec", "signerName")}


def stamp(status: Obj, before: Obj, now: str) -> None:
    """Fill in the times of conditions: a transition that happened before keeps its time."""
    for condition in f.as_list(status.get("conditions")):
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = [
                each.get("lastTransitionTime")
                for each in f.as_list(before.get("conditions"))
                if each.get("type") == condition.get("type") and each.get("status") == condition.get("status")
            ]
            condition["lastTransitionTime"] = next(filter(None, same), now)


def _request(value: Any) -> list[Cause]:
    try:
        certificate_request.parse(base64.b64decode(value or ""))
    except ValueError as error:
        return [f.invalid("spec.request", value, str(error))]
    return []


def signer_name(value: str, path: str) -> list[Cause]:
    """`domain.example/path`, the domain of at least two labels."""
    if not value:
        return [f.required(path)]
    parts = value.split("/")
    if len(parts) != 2:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [f.invalid(path, value, detail)]
    domain, rest = parts
    causes: list[Cause] = []
    if len(domain) > DOMAIN_MAX:
        causes.append(f.too_long(path, DOMAIN_MAX))
    for label in domain.split("."):
        causes += [
            f.invalid(path, domain, f"validating label {f.quote(label)}: {why}") for why in names.dns1123_label(label)
        ]
    if "." not in domain:
        causes.append(f.invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    if len(rest) > PATH_MAX:
        causes.append(f.too_long(path, PATH_MAX))
    for label in rest.split("."):
        causes += [
            f.invalid(path, rest, f"validating label {f.quote(label)}: {why}") for why in names.dns1123_subdomain(label)
        ]
    return causes


def _conditions(status: Obj) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, condition in enumerate(f.as_list(status.get("conditions"))):
        path, kind, value = f"status.conditions[{i}]", condition.get("type") or "", condition.get("status") or ""
        if not kind:
            causes.append(f.required(f"{path}.type"))
        allowed = ("True",) if kind in FINAL else ("False", "True", "Unknown")
        causes += f.one_of(value, f"{path}.status", allowed, need=True)
        if (kind == "Approved" and "Denied" in seen) or (kind == "Denied" and "Approved" in seen):
            detail = "Approved and Denied conditions are mutually exclusive"
            causes.append(f.invalid(f"{path}.type", kind, detail))
        if kind in seen:
            causes.append(f.duplicate(f"{path}.type", kind))
        seen.add(kind)
    return causes


def _certificate(status: Obj) -> list[Cause]:
    encoded = status.get("certificate")
    if not encoded:
        return []
    problem = certificate_request.certificates_problem(base64.b64decode(encoded))
    return [f.invalid("status.certificate", "<certificate data>", problem)] if problem else []


def _removed(new: Obj, old: Obj) -> list[Cause]:
    return [
        f.forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in FINAL
        if len(_of_type(new, kind)) < len(_of_type(old, kind))
    ]


def _of_type(status: Obj, kind: str) -> list[Obj]:
    return [each for each in f.as_list(status.get("conditions")) if each.get("type") == kind]
