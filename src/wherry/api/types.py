"""The shape of everything on the wire.

Objects are plain dicts as JSON decodes them, so that unknown fields survive. What comes out of storage, a client or an
informer is shared and must not be changed: build a new dict along the changed path (`{**obj, "status": {...}}`).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Obj: TypeAlias = dict[str, Any]
"""A Kubernetes object: apiVersion, kind, metadata, ..."""


class GVR(NamedTuple):
    """Group, version and plural of a resource, what a path needs; the core group is `""`."""

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, `pods`: how kubectl and error messages name a resource."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """`/apis/apps/v1/namespaces/shop/deployments/cart/status`."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.resource, name, subresource) if part]
        return "/".join(parts)
