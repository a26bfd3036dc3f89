"""Keeps the older Endpoints object of every Service with a selector, for clients that still read it."""

from wherry.controllers.endpoints.reconciler import build

__all__ = ["build"]
