"""What a ResourceQuota allows is never exceeded by what is made while it stands."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.resources import CONFIG_MAPS, PODS, RESOURCE_QUOTAS
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.replay import Replay, is_active
from wherry.testing.simulation.story import Event, Story, about

COUNTED = {PODS: "pods", CONFIG_MAPS: "count/configmaps"}


class Quotas:
    def __init__(self, story: Story) -> None:
        self._since: dict[str, float] = {}
        """uid of a quota -> when it was first in force: its status says what it allows."""

    def see(self, event: Event, before: Replay) -> Iterator[Violation]:
        seen = event.seen
        if seen.key[0] == RESOURCE_QUOTAS and (seen.obj.get("status") or {}).get("hard"):
            self._since.setdefault(seen.obj["metadata"]["uid"], seen.at)
        if seen.type != "ADDED" or seen.key[0] not in COUNTED or event.call is None:
            return
        gvr, namespace = seen.key[0], seen.key[1]
        for quota in before.of(RESOURCE_QUOTAS, namespace):
            since = self._since.get(quota["metadata"]["uid"], float("inf"))
            allowed = (quota["spec"].get("hard") or {}).get(COUNTED[gvr])
            if allowed is None or since >= event.call.at:
                continue
            there = 1 + sum(gvr != PODS or is_active(one) for one in before.of(gvr, namespace))
            if there > int(allowed):
                text = f"{about(seen.key)} is number {there}, quota {quota['metadata']['name']} allows {allowed} ({event.call})"
                yield Violation("quota exceeded", text, (quota["metadata"]["name"],))
