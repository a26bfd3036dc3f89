"""Moves a Deployment's pods from one template to the next through ReplicaSets, at the pace its strategy allows."""

from wherry.controllers.deployment.reconciler import build

__all__ = ["build"]
