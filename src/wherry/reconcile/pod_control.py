"""Makes and deletes the pods of a controller that counts them: every write is expected first, and told to the owner.

For controllers whose pods have generated names. Where names are fixed (StatefulSet) nothing needs to be expected.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.errors import StatusError, namespace_is_ending
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.reconcile.batches import all_of, slow_start
from wherry.reconcile.expectations import Expectations
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_terminating
from wherry.reconcile.writes import delete_exactly


class PodControl:
    """`expectations` are by the owner's uid; the owner's reconciler asks them before it counts."""

    def __init__(self, parts: Parts) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self.expectations = Expectations(parts.clock)

    def observe(self, owner_uid: str, type: str, pod: Obj) -> None:
        """What the informer shows of the owner's pods. One that terminates is as good as gone."""
        if type == "deleted" or is_terminating(pod):
            self.expectations.deletion_observed(owner_uid, pod["metadata"]["uid"])
        elif type == "added":
            self.expectations.creation_observed(owner_uid)

    async def create(self, owner: Obj, pods: Sequence[Obj]) -> tuple[int, Exception | None]:
        """How many were made, and the first failure; after it the rest is not tried."""
        uid = owner["metadata"]["uid"]
        self.expectations.expect_creations(uid, len(pods))
        tried = 0

        async def create(pod: Obj) -> None:
            nonlocal tried
            tried += 1
            try:
                created = await self._client.create(PODS, pod)
            except (StatusError, ConnectionError) as error:
                self.expectations.creation_observed(uid)
                if not namespace_is_ending(error):
                    self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

        created, failure = await slow_start(pods, create)
        self.expectations.creation_observed(uid, len(pods) - tried)
        return created, failure

    async def delete(self, owner: Obj, pods: Sequence[Obj]) -> Exception | None:
        """The first failure; all are tried. Finalizers do not matter: what is expected is that they terminate."""
        uid = owner["metadata"]["uid"]
        self.expectations.expect_deletions(uid, [pod["metadata"]["uid"] for pod in pods])

        async def delete(pod: Obj) -> None:
            try:
                there = await delete_exactly(self._client, PODS, pod)
            except (StatusError, ConnectionError) as error:
                self.expectations.deletion_observed(uid, pod["metadata"]["uid"])
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            if there:
                self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
            else:
                self.expectations.deletion_observed(uid, pod["metadata"]["uid"])

        failures = await all_of(pods, delete)
        return failures[0] if failures else None
