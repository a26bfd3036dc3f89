"""Deletes what has lost its last owner, and carries out foreground and orphaning deletion."""

from wherry.controllers.garbage_collector.reconciler import build

__all__ = ["build"]
