"""ClusterTrustBundles: certificates everybody may read; one that names a signer is named after it.

Rules and texts: certificates.k8s.io, `ClusterTrustBundleSpec`.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import certificate_request
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, text
from wherry.apiserver.registry.certificate_signing_request import signer_name
from wherry.apiserver.registry.validation import field as f

BUNDLE_BYTES_MAX = 1 << 20


class ClusterTrustBundleStrategy(BuiltIn):
    """The kind certificates.k8s.io ClusterTrustBundle."""

    has_generation = False
    allow_unconditional_update = False

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        """With a signer the name's parts are joined by colons; which it must be depends on the spec (`validate`)."""
        return super().validate_name(name.replace(":", "."), prefix)

    def validate(self, obj: Obj) -> list[Cause]:
        spec, name = obj["spec"], obj["metadata"].get("name", "")
        signer, bundle = spec.get("signerName") or "", spec.get("trustBundle") or ""
        causes = _name(name, signer)
        if signer:
            causes += signer_name(signer, "spec.signerName")
        if len(bundle) > BUNDLE_BYTES_MAX:
            causes.append(f.too_long("spec.trustBundle", BUNDLE_BYTES_MAX))
        else:
            problem = _bundle_problem(bundle)
            causes += [f.invalid("spec.trustBundle", "<value omitted>", problem)] if problem else []
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj["spec"].get("signerName"), old["spec"].get("signerName"), "spec.signerName")

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"spec.signerName": text(obj, "spec", "signerName")}


def _name(name: str, signer: str) -> list[Cause]:
    if not signer:
        if ":" in name:
            detail = 'ClusterTrustBundle without signer name must not have ":" in its name'
            return [f.invalid("metadata.name", name, detail)]
        return []
    start = signer.replace("/", ":") + ":"
    if name.startswith(start):
        return []
    detail = f"ClusterTrustBundle for signerName {signer} must be named with prefix {start}"
    return [f.invalid("metadata.name", name, detail)]


def _bundle_problem(bundle: str) -> str:
    problem = certificate_request.certificates_problem(bundle.encode())
    if problem == "must contain at least one CERTIFICATE PEM block":
        return "at least one trust anchor must be provided"
    return problem or certificate_request.authorities_problem(bundle.encode())
