"""Notices nodes that no longer report or are unwell, taints them, and moves their pods away."""

from wherry.controllers.node_lifecycle.reconciler import GRACE_SECONDS, build, unheard

__all__ = ["GRACE_SECONDS", "build", "unheard"]
