"""Keeps numbered pods that are somebody: same name, same place in the order, same volumes, whatever happens to them."""

from wherry.controllers.statefulset.reconciler import build

__all__ = ["build"]
