"""Names of certificate signers, and of the trust bundles that are theirs."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.apiserver.registry.validation import field as f

SIGNER_NAME_MAX = 571
_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


def signer_name(value: str, path: str) -> list[Cause]:
    """`domain/path`: the domain of at least two parts."""
    if not value:
        return [f.required(path)]
    domain, slash, rest = value.partition("/")
    if not slash or "/" in rest:
        return [f.invalid(path, value, _FORM)]
    causes = [f.invalid(path, value, f"validating label {f.quote(part)}: {problem}")
              for part in domain.split(".") for problem in names.dns1123_label(part)]  # fmt: skip
    if "." not in domain:
        causes.append(f.invalid(path, value, "should be a domain with at least two segments separated by dots"))
    causes += [f.invalid(path, value, f"validating label {f.quote(part)}: {problem}")
               for part in rest.split(".") for problem in names.dns1123_subdomain(part)]  # fmt: skip
    if len(value) > SIGNER_NAME_MAX:
        causes.append(f.too_long(path, SIGNER_NAME_MAX))
    return causes


def bundle_name(name: str, signer: str) -> list[str]:
    """What is wrong with the name of a ClusterTrustBundle: `signer:with:colons:NAME`, or a name without a signer."""
    if not signer:
        return names.dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns1123_subdomain(name.removeprefix(prefix))
