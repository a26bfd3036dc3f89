"""Runs pods until enough of them have succeeded, or too many have failed."""

from wherry.controllers.job.reconciler import build

__all__ = ["build"]
