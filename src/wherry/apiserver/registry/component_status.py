"""ComponentStatuses, deprecated since 1.19: there are none to see, as where components check themselves."""

from __future__ import annotations

from wherry.apiserver.registry.strategy import Strategy


class ComponentStatusStrategy(Strategy):
    said = "componentstatus"
