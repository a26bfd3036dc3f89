"""Wherry runs a microservices application on one Linux machine from its ordinary Kubernetes manifests.

Nothing is imported here before it is asked for: the launcher and pytest's plug-in loading must not pull in the whole product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wherry.testing.control_plane import ControlPlane as ControlPlane

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "ControlPlane":
        from wherry.testing.control_plane import ControlPlane

        return ControlPlane
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
