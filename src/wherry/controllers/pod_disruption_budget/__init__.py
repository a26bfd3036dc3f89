"""Says how many more pods of a PodDisruptionBudget may be evicted; the eviction handler takes them out of that number."""

from wherry.controllers.pod_disruption_budget.reconciler import build

__all__ = ["build"]
