"""Sizes workloads by what their pods use."""

from wherry.controllers.horizontal_pod_autoscaler.reconciler import build

__all__ = ["build"]
