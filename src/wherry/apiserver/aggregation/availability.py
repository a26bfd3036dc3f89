"""Whether the server behind an APIService can be asked: the condition `Available`, with Kubernetes' reasons and words.

Pure: what is stored and what the last probe said go in, a verdict comes out.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.api.types import Obj


class Verdict(Struct, frozen=True):
    status: str
    reason: str
    message: str


LOCAL = Verdict("True", "Local", "Local APIServices are always available")
PASSED = Verdict("True", "Passed", "all checks passed")


def before_asking(reference: Obj, service: Obj | None, slices: int, ready: int) -> Verdict | None:
    """What is wrong before anybody is asked; None: ask. `reference` is spec.service, `slices` and `ready` count the
    EndpointSlices of the Service and the ready addresses behind its port."""
    where = f'service/{reference["name"]} in "{reference["namespace"]}"'
    if service is None:
        return Verdict("False", "ServiceNotFound", f"{where} is not present")
    if service["spec"].get("type") == "ExternalName":
        return None
    port = port_of(service, reference)
    if port is None:
        return Verdict("False", "ServicePortError", f"{where} is not listening on port {reference.get('port', 443)}")
    if not slices:
        return Verdict("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
    if not ready:
        text = f'endpointslices for {where} have no addresses with port name "{port.get("name", "")}"'
        return Verdict("False", "MissingEndpoints", text)
    return None


def port_of(service: Obj, reference: Obj) -> Obj | None:
    """The Service's port an APIService means."""
    wanted = reference.get("port", 443)
    return next((each for each in service["spec"].get("ports") or [] if each["port"] == wanted), None)


def after_asking(url: str, problem: str) -> Verdict:
    """`problem`: why the probe of `url` failed, "" if it did not."""
    if not problem:
        return PASSED
    return Verdict("False", "FailedDiscoveryCheck", f"failing or missing response from {url}: {problem}")


def with_verdict(status: Obj | None, verdict: Verdict, now: str) -> Obj:
    """`status` with the condition as judged; its time stays while its status does."""
    conditions = [each for each in (status or {}).get("conditions") or [] if each.get("type") != "Available"]
    before = next((each for each in (status or {}).get("conditions") or [] if each.get("type") == "Available"), None)
    same = before is not None and before.get("status") == verdict.status
    since = before.get("lastTransitionTime") if same and before is not None else now
    made = {
        "type": "Available",
        "status": verdict.status,
        "lastTransitionTime": since,
        "reason": verdict.reason,
        "message": verdict.message,
    }
    return {**(status or {}), "conditions": [*conditions, made]}
