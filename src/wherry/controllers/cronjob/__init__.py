"""Makes Jobs by the clock."""

from wherry.controllers.cronjob.reconciler import build

__all__ = ["build"]
