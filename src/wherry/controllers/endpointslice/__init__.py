"""Keeps the EndpointSlices of every Service with a selector: who stands behind it, and in what condition."""

from wherry.controllers.endpointslice.reconciler import build

__all__ = ["build"]
