"""Makes Jobs by the clock."""

from wherry.controllers.cronjob.reconciler import LOOK_SECONDS_MAX, build

__all__ = ["LOOK_SECONDS_MAX", "build"]
