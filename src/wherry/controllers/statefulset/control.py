"""Makes, mends and deletes the numbered pods of a StatefulSet and their claims, and tells the set of each.

Claims come before their pod and are made again while it waits for them; a claim that is on its way out is waited for.
"""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists, is_not_found, namespace_is_ending
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.controllers.statefulset import pods as members
from wherry.reconcile import revisions as histories
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_terminating, phase
from wherry.reconcile.writes import delete_exactly, with_metadata


class NotYet(Exception):
    """A pod's claim cannot be used: it could not be made, or it is going with the pod that had the name before."""


class StatefulPodControl:
    """`create` and `delete` raise the API's error after they have reported it; `claims` are looked up, never listed."""

    def __init__(self, parts: Parts, claims: Informer) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self._claims = claims

    async def create(self, statefulset: Obj, ordinal: int, revision: Obj) -> None:
        """Pod number `ordinal` of that revision. Raises NotYet, and AlreadyExists while the name is taken."""
        name = members.pod_name(statefulset, ordinal)
        if any(self._is_stale(claim, name) for claim in members.claims_of(statefulset, ordinal)):
            raise NotYet(f"a claim of {name} goes with the pod before it")
        try:
            await self._create_claims(statefulset, ordinal)
            pod = members.new_pod(statefulset, ordinal, histories.template_of(revision), revision["metadata"]["name"])
            await self._client.create(PODS, pod)
        except (StatusError, NotYet) as error:
            # Ours, not visible yet; or a stranger's, whose end nobody tells us.
            if not is_already_exists(error) and not namespace_is_ending(error):
                self._tell(statefulset, "create", name, error)
            raise
        self._tell(statefulset, "create", name)

    async def delete(self, statefulset: Obj, pod: Obj) -> None:
        name = pod["metadata"]["name"]
        try:
            there = await delete_exactly(self._client, PODS, pod)
        except StatusError as error:
            self._tell(statefulset, "delete", name, error)
            raise
        if there:
            self._tell(statefulset, "delete", name)

    async def settle(self, statefulset: Obj, pod: Obj, *, condemned: bool) -> None:
        """Put back the pod's labels and the claims it waits for; let claims' owners say what the retention policy says now.
        The claims of a pod that is to be scaled away are its own."""
        ordinal = members.ordinal_of(statefulset, pod)
        if ordinal is None:
            return
        if phase(pod) == "Pending" and not condemned and not is_terminating(pod):
            await self._create_claims(statefulset, ordinal)
        for template in statefulset["spec"].get("volumeClaimTemplates") or ():
            name = members.claim_name(statefulset, template, ordinal)
            found = self._claims.get(name, statefulset["metadata"]["namespace"])
            if found is None or "deletionTimestamp" in found["metadata"]:
                continue
            owners = members.owners_wanted(statefulset, found, pod, condemned=condemned)
            if owners != (found["metadata"].get("ownerReferences") or []):
                await self._client.update(PERSISTENT_VOLUME_CLAIMS, with_metadata(found, ownerReferences=owners))
        await self._settle_identity(statefulset, pod)

    async def _settle_identity(self, statefulset: Obj, pod: Obj) -> None:
        labels, metadata = members.missing_labels(statefulset, pod), pod["metadata"]
        if not labels or is_terminating(pod):
            return
        patch = {"metadata": {"uid": metadata["uid"], "labels": labels}}
        try:
            await self._client.patch(PODS, metadata["name"], patch, metadata["namespace"], type="merge")
        except StatusError as error:
            if not is_not_found(error):
                self._tell(statefulset, "update", metadata["name"], error)
                raise
            return
        self._tell(statefulset, "update", metadata["name"])

    async def _create_claims(self, statefulset: Obj, ordinal: int) -> None:
        """Those that are missing. Raises NotYet for what cannot be had, with Kubernetes' text; the API's error in a namespace
        that is ending."""
        problems = []
        for wanted in members.claims_of(statefulset, ordinal):
            name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
            found = self._claims.get(name, namespace)
            if found is not None:
                if "deletionTimestamp" in found["metadata"]:
                    problems.append(f"pvc {name} is being deleted")
                continue
            pod, set_name = members.pod_name(statefulset, ordinal), statefulset["metadata"]["name"]
            try:
                await self._client.create(PERSISTENT_VOLUME_CLAIMS, wanted)
            except StatusError as error:
                if is_already_exists(error):
                    continue  # not visible yet
                if namespace_is_ending(error):
                    raise
                text = f"create Claim {name} for Pod {pod} in StatefulSet {set_name} failed error: {error.message}"
                self._recorder.event(statefulset, "Warning", "FailedCreate", text)
                problems.append(f"failed to create PVC {name}: {error.message}")
            else:
                text = f"create Claim {name} Pod {pod} in StatefulSet {set_name} success"
                self._recorder.event(statefulset, "Normal", "SuccessfulCreate", text)
        if problems:
            raise NotYet(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    def _is_stale(self, claim: Obj, pod_name: str) -> bool:
        """Owned by a pod of that name, which is gone: the claim was scaled away with it and goes too."""
        found = self._claims.get(claim["metadata"]["name"], claim["metadata"]["namespace"])
        owners = (found["metadata"].get("ownerReferences") or ()) if found is not None else ()
        return any(ref["kind"] == "Pod" and ref["name"] == pod_name for ref in owners)

    def _tell(self, statefulset: Obj, verb: str, pod: str, error: Exception | None = None) -> None:
        what = f"{verb} Pod {pod} in StatefulSet {statefulset['metadata']['name']}"
        if error is None:
            self._recorder.event(statefulset, "Normal", f"Successful{verb.title()}", f"{what} successful")
        else:
            message = error.message if isinstance(error, StatusError) else str(error)
            self._recorder.event(statefulset, "Warning", f"Failed{verb.title()}", f"{what} failed error: {message}")
