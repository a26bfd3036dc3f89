"""Keeps as many pods of one template running as a ReplicaSet, or a ReplicationController, asks for."""

from wherry.controllers.replicaset.reconciler import build, build_replication_controller

__all__ = ["build", "build_replication_controller"]
