"""Empties namespaces that are being deleted, then lets them go."""

from wherry.controllers.namespace.reconciler import build

__all__ = ["build"]
