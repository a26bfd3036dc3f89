"""Keeps as many pods of one template running as a ReplicaSet asks for."""

from wherry.controllers.replicaset.reconciler import build

__all__ = ["build"]
