"""Chooses a node for each pod that has none."""

from wherry.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
