"""How long a CertificateSigningRequest is kept. Pure; the periods are kube-controller-manager's."""

from __future__ import annotations

import base64

from wherry.aio.clock import parse_rfc3339
from wherry.api.certificate_request import not_after
from wherry.api.types import Obj

DECIDED_SECONDS = 3600.0
"""After approval, denial or failure."""
PENDING_SECONDS = 24 * 3600.0


def removed_at(request: Obj) -> float:
    """When it may be deleted, in Unix seconds."""
    status = request.get("status") or {}
    ends = [parse_rfc3339(request["metadata"]["creationTimestamp"]) + PENDING_SECONDS]
    decided = [each for each in status.get("conditions") or [] if each.get("type") in ("Approved", "Denied", "Failed")]
    if decided:
        # What waits for its signer although it was approved is pending still.
        signed = status.get("certificate") or any(each["type"] != "Approved" for each in decided)
        times = [each.get("lastUpdateTime") or each.get("lastTransitionTime") for each in decided]
        if signed and any(times):
            ends = [max(parse_rfc3339(time) for time in times if time) + DECIDED_SECONDS]
    if status.get("certificate"):
        try:
            ends.append(not_after(base64.b64decode(status["certificate"])))
        except ValueError:
            pass  # another signer's; its age decides
    return min(ends)
