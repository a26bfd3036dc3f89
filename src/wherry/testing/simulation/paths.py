"""Which object a request is about, from its path."""

from __future__ import annotations

from functools import lru_cache

from wherry.api.types import GVR


@lru_cache(maxsize=4096)
def parse(path: str) -> tuple[GVR, str, str, str] | None:
    """(resource, namespace, name, subresource); name is "" for a collection. None: of no resource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return None
    return GVR(group, version, rest[0]), namespace, rest[1] if len(rest) > 1 else "", "/".join(rest[2:])
