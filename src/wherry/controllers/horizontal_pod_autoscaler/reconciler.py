"""Looks at each HorizontalPodAutoscaler every few seconds: reads metrics, decides a size, writes it to the target's scale.

The only controller that looks by the clock: what pods use changes without any object changing.
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError, is_not_found
from wherry.api.labels import Selector, SelectorError
from wherry.api.resources import HORIZONTAL_POD_AUTOSCALERS, PODS
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.controllers.horizontal_pod_autoscaler import behavior
from wherry.controllers.horizontal_pod_autoscaler.metrics import Asked, Measured, Metrics
from wherry.reconcile.controller import Controller
from wherry.reconcile.kinds import Kinds
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import write_status

SYNC_SECONDS = 15.0
"""kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
PODS_PER_SECOND = 500
"""Whoever scales thousands of pods looks less often, up to Kubernetes' period: a look reads the figures of all of them."""


def build(
    parts: Parts,
    *,
    scheme: Kinds,
    sync_seconds: float = SYNC_SECONDS,
    scale_down_seconds: int = behavior.SCALE_DOWN_SECONDS,
    workers: int = 5,
) -> Controller:
    """The controller; `sync_seconds` between two looks at one autoscaler (on one machine 1 s costs little)."""
    queue: WorkQueue[Request] = WorkQueue("horizontal-pod-autoscaler", parts.clock)
    autoscalers, pods = parts.factory.informer(HORIZONTAL_POD_AUTOSCALERS), parts.factory.informer(PODS)
    reconciler = Autoscaler(parts, autoscalers, pods, scheme, sync_seconds, scale_down_seconds)

    def on_autoscaler(type: str, hpa: Obj, old: Obj | None) -> None:
        if type == "deleted":
            reconciler.forget(hpa)
        elif old is None or old["spec"] != hpa["spec"]:
            queue.add(Request.of(hpa))

    autoscalers.add_handler(on_autoscaler)
    sources = (autoscalers, pods)
    return Controller("horizontal-pod-autoscaler", reconciler, queue, workers=workers, sources=sources)


class Autoscaler:
    def __init__(
        self,
        parts: Parts,
        autoscalers: Informer,
        pods: Informer,
        scheme: Kinds,
        sync_seconds: float,
        scale_down_seconds: int,
    ) -> None:
        self._client = parts.client
        self._autoscalers = autoscalers
        self._pods = pods
        self._recorder = parts.recorder
        self._clock = parts.clock
        self._scheme = scheme
        self._sync_seconds = sync_seconds
        self._scale_down_seconds = scale_down_seconds
        self._metrics = Metrics(parts.client, parts.clock)
        self._histories: dict[str, behavior.History] = {}
        self._told: dict[str, dict[str, tuple[str, float]]] = {}
        """uid -> what was said last for each reason, and when."""
        self._reported: dict[str, float] = {}

    def forget(self, hpa: Obj) -> None:
        self._histories.pop(hpa["metadata"]["uid"], None)
        self._told.pop(hpa["metadata"]["uid"], None)
        self._reported.pop(hpa["metadata"]["uid"], None)

    async def reconcile(self, request: Request) -> Result | None:
        hpa = self._autoscalers.get(request.name, request.namespace)
        if hpa is None:
            return None
        look = _Look(hpa, self._clock.time())
        try:
            await self._size(hpa, look)
        except _Stop:
            pass
        try:
            await self._report(hpa, look)
        except StatusError as error:
            if not is_not_found(error):
                raise
        return Result(requeue_after=max(self._sync_seconds, min(look.current / PODS_PER_SECOND, SYNC_SECONDS)))

    async def _report(self, hpa: Obj, look: _Look) -> None:
        """What pods use changes at every look: numbers alone are written no more often than Kubernetes would."""
        uid, status = hpa["metadata"]["uid"], look.status()
        before = {**hpa.get("status", {}), "currentMetrics": None}
        if before == {**status, "currentMetrics": None} and look.now - self._reported.get(uid, 0.0) < SYNC_SECONDS:
            return
        await write_status(self._client, HORIZONTAL_POD_AUTOSCALERS, hpa, status)
        self._reported[uid] = look.now

    async def _size(self, hpa: Obj, look: _Look) -> None:
        gvr, scale = await self._scale(hpa, look)
        current = scale.get("spec", {}).get("replicas", 0)
        look.current = current
        lowest, highest = hpa["spec"].get("minReplicas", 1), hpa["spec"]["maxReplicas"]
        text = "the HPA controller was able to get the target's current scale"
        look.say("AbleToScale", "True", "SucceededGetScale", text)
        history = self._histories.get(hpa["metadata"]["uid"])
        if history is None:
            history = self._histories[hpa["metadata"]["uid"]] = behavior.History([(look.now, current)])
        if current == 0 and lowest != 0:
            look.desired = 0
            text = "scaling is disabled since the replica count of the target is zero"
            look.say("ScalingActive", "False", "ScalingDisabled", text)
            return
        if current > highest:
            wanted, why = highest, "Current number of replicas above Spec.MaxReplicas"
        elif current < lowest:
            wanted, why = lowest, "Current number of replicas below Spec.MinReplicas"
        else:
            wanted, why = await self._by_metrics(hpa, scale, look, history)
        if wanted != current:
            await self._rescale(hpa, gvr, scale, wanted, why, look)
            history.changes.append((look.now, wanted - current))
            look.scaled_at = look.now
        look.desired = wanted

    async def _by_metrics(self, hpa: Obj, scale: Obj, look: _Look, history: behavior.History) -> tuple[int, str]:
        measured = await self._measure(hpa, scale, look)
        look.metrics = measured.statuses
        decision = behavior.decide(hpa, look.current, measured.replicas, history, look.now, self._scale_down_seconds)
        look.say("ScalingLimited", *decision.limited)
        ready = ("True", "ReadyForNewScale", "recommended size matches current size")
        look.say("AbleToScale", *(decision.stabilized or ready))
        above = f"{measured.name} above target"
        return decision.replicas, above if decision.replicas > look.current else "All metrics below target"

    async def _measure(self, hpa: Obj, scale: Obj, look: _Look) -> Measured:
        text = scale.get("status", {}).get("selector", "")
        if not text:
            message = "the HPA target's scale is missing a selector"
            self._tell(hpa, "SelectorRequired", "selector is required")
            look.stop("ScalingActive", "False", "InvalidSelector", message)
        try:
            selector = Selector.parse(text)
        except SelectorError as error:
            message = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._tell(hpa, "InvalidSelector", message)
            look.stop("ScalingActive", "False", "InvalidSelector", message)
        asked = Asked(
            hpa["metadata"]["namespace"],
            text,
            self._pods.list(hpa["metadata"]["namespace"], selector),
            look.current,
            scale.get("status", {}).get("replicas", 0),
            behavior.tolerance(hpa),
        )
        measured = await self._metrics.measure(hpa["spec"].get("metrics") or (), asked)
        for reason, message in dict(reversed(measured.failures)).items():
            self._tell(hpa, reason, message)
        # One metric that cannot be read must not let the others shrink the workload.
        if measured.failures and (measured.name == "" or measured.replicas < look.current):
            reason, message = measured.failures[0]
            self._tell(hpa, "FailedComputeMetricsReplicas", measured.invalid)
            look.metrics = measured.statuses
            text = f"the HPA was unable to compute the replica count: {message}"
            look.stop("ScalingActive", "False", reason, text)
        text = f"the HPA was able to successfully calculate a replica count from {measured.name}"
        look.say("ScalingActive", "True", "ValidMetricFound", text)
        if not measured.failures:
            self._told.pop(hpa["metadata"]["uid"], None)
        return measured

    async def _scale(self, hpa: Obj, look: _Look) -> tuple[GVR, Obj]:
        ref = hpa["spec"]["scaleTargetRef"]
        resource = self._scheme.by_kind(ref.get("apiVersion") or "v1", ref["kind"])
        if resource is None:
            group = (ref.get("apiVersion") or "v1").rpartition("/")[0]
            message = f'no matches for kind "{ref["kind"]}" in group "{group}"'
        else:
            try:
                namespace = hpa["metadata"]["namespace"]
                return resource.gvr, await self._client.get(resource.gvr, ref["name"], namespace, "scale")
            except StatusError as error:
                message = error.message
        self._tell(hpa, "FailedGetScale", message)
        text = f"the HPA controller was unable to get the target's current scale: {message}"
        look.stop("AbleToScale", "False", "FailedGetScale", text)
        raise AssertionError("stop raises")

    async def _rescale(self, hpa: Obj, gvr: GVR, scale: Obj, wanted: int, why: str, look: _Look) -> None:
        target = {**scale, "spec": {**scale.get("spec", {}), "replicas": wanted}}
        try:
            await self._client.update(gvr, target, subresource="scale")
        except StatusError as error:
            text = f"New size: {wanted}; reason: {why}; error: {error.message}"
            self._recorder.event(hpa, "Warning", "FailedRescale", text)
            message = f"the HPA controller was unable to update the target scale: {error.message}"
            look.stop("AbleToScale", "False", "FailedUpdateScale", message)
        self._recorder.event(hpa, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        text = f"the HPA controller was able to update the target scale to {wanted}"
        look.say("AbleToScale", "True", "SucceededRescale", text)

    def _tell(self, hpa: Obj, reason: str, message: str) -> None:
        """Again only as often as Kubernetes would look, not at every look."""
        told, now = self._told.setdefault(hpa["metadata"]["uid"], {}), self._clock.time()
        before, since = told.get(reason, ("", 0.0))
        if before != message or now - since >= SYNC_SECONDS:
            told[reason] = message, now
            self._recorder.event(hpa, "Warning", reason, message)


class _Stop(Exception):
    """The look has come to its end; what it found is in it."""


class _Look:
    """What one look finds, on its way into the status."""

    def __init__(self, hpa: Obj, now: float) -> None:
        self.now = now
        self._before: Obj = hpa.get("status", {})
        self._conditions: list[Obj] = list(self._before.get("conditions") or ())
        self.current: int = self._before.get("currentReplicas", 0)
        self.desired: int = self._before.get("desiredReplicas", 0)
        self.metrics: list[Obj] | None = None
        self.scaled_at: float | None = None

    def say(self, kind: str, value: str, reason: str, message: str) -> None:
        before = next((one for one in self._conditions if one["type"] == kind), None)
        moved = before["lastTransitionTime"] if before is not None and before["status"] == value else rfc3339(self.now)
        after = {"type": kind, "status": value, "lastTransitionTime": moved, "reason": reason, "message": message}
        if before is None:
            self._conditions.append(after)
        else:
            self._conditions = [after if one is before else one for one in self._conditions]

    def stop(self, kind: str, value: str, reason: str, message: str) -> None:
        self.say(kind, value, reason, message)
        raise _Stop

    def status(self) -> Obj:
        """Without observedGeneration: an autoscaler has no generation."""
        status: Obj = {}
        scaled = rfc3339(self.scaled_at) if self.scaled_at is not None else self._before.get("lastScaleTime")
        if scaled:
            status["lastScaleTime"] = scaled
        status["currentReplicas"] = self.current
        status["desiredReplicas"] = self.desired
        metrics = self.metrics if self.metrics is not None else self._before.get("currentMetrics")
        status["currentMetrics"] = metrics
        status["conditions"] = self._conditions
        return status
