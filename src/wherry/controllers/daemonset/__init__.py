"""Keeps one pod of a template on every node that the template's selector, affinity and tolerations mean."""

from wherry.controllers.daemonset.reconciler import build

__all__ = ["build"]
