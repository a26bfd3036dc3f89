"""The Node's condition `wherry.dev/Isolated`: whether pods are kept apart here, and what is not. Pure.

What a single pod asks for and does not get is said of that pod (`enforcement.py`); here is what concerns every pod, asked for or
not. Kubernetes knows no such condition, so nothing but people acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.types import Obj

ISOLATED = "wherry.dev/Isolated"
_APART = "pods have processes, files and networks of their own"
_NOWHERE = "network policies are not enforced"


def isolation(runtime: Mapping[str, str]) -> Obj:
    """Type, status, reason and message; `runtime` is `RuntimeService.status()`."""
    plain = runtime.get("not_isolated", "")
    lacks = [f"{what} are not enforced: {reason}" for what in ("users", "limits") if (reason := runtime.get(what))]
    if plain:
        return {"type": ISOLATED, "status": "False", "reason": "PlainProcesses", "message": plain}
    message = "; ".join((_APART, _NOWHERE, *lacks))
    return {"type": ISOLATED, "status": "True", "reason": "LinuxNamespaces", "message": message}
