"""Priority: a pod's class gives its number, nobody else does; at most one class is the default."""

from __future__ import annotations

from wherry.api.resources import PRIORITY_CLASSES
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest

PREEMPT = "PreemptLowerPriority"


class Priority:
    concerns = frozenset({("", "pods"), ("scheduling.k8s.io", "priorityclasses")})

    async def admit(self, request: AdmissionRequest) -> None:
        if request.object is None:
            return
        if request.is_for("", "pods", "CREATE"):
            self._pod(request, request.object["spec"])
        elif request.is_for("", "pods", "UPDATE"):
            _keep(request.object["spec"], (request.old_object or {}).get("spec") or {})

    async def validate(self, request: AdmissionRequest) -> None:
        if request.object is not None and request.is_for("scheduling.k8s.io", "priorityclasses", "CREATE", "UPDATE"):
            self._only_default(request, request.object)

    def _pod(self, request: AdmissionRequest, spec: Obj) -> None:
        name, value, policy = self._resolve(request, spec.get("priorityClassName") or "")
        given = spec.get("priority")
        if given is not None and given != value:
            raise request.forbid(
                f"the integer value of priority ({given}) must not be provided in pod spec; priority admission "
                f"controller computed {value} from the given PriorityClass name"
            )
        wanted = spec.get("preemptionPolicy")
        if wanted is not None and wanted != policy:
            raise request.forbid(
                f"the string value of PreemptionPolicy ({wanted}) must not be provided in pod spec; priority admission "
                f"controller computed {policy} from the given PriorityClass name"
            )
        if name:
            spec["priorityClassName"] = name
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def _resolve(self, request: AdmissionRequest, name: str) -> tuple[str, int, str]:
        read = request.context.read
        if name:
            found = read.get(PRIORITY_CLASSES, name)
            if found is None:
                raise request.forbid(f"no PriorityClass with name {name} was found")
        else:
            defaults = [each for each in read.list(PRIORITY_CLASSES) if each.get("globalDefault")]
            # Two defaults can only come from a race; the lower one is the careful choice.
            found = min(defaults, key=lambda each: each.get("value") or 0, default=None)
        if found is None:
            return "", 0, PREEMPT
        return found["metadata"]["name"], found.get("value") or 0, found.get("preemptionPolicy") or PREEMPT

    def _only_default(self, request: AdmissionRequest, draft: Obj) -> None:
        if not draft.get("globalDefault"):
            return
        mine = draft["metadata"].get("name")
        for other in request.context.read.list(PRIORITY_CLASSES):
            if other.get("globalDefault") and other["metadata"]["name"] != mine:
                name = other["metadata"]["name"]
                raise request.forbid(f"PriorityClass {name} is already marked as default. Only one default can exist")


def _keep(spec: Obj, old: Obj) -> None:
    """An update that does not speak of priority keeps it."""
    if (spec.get("priorityClassName") or "") != (old.get("priorityClassName") or ""):
        return
    for key in ("priority", "preemptionPolicy"):
        if spec.get(key) is None and old.get(key) is not None:
            spec[key] = old[key]
