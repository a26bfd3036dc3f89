"""The admission plugin: pods are refused, templates of workloads only warned about, new labels checked against what runs.

There are no exemptions; a namespace without labels costs the look at its labels.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.errors import Cause, StatusError, invalid
from wherry.api.resources import NAMESPACES, PODS
from wherry.api.types import Obj
from wherry.apiserver.admission.pod_security.policy import LEVELS, PREFIX, Policy, Standard, read
from wherry.apiserver.admission.pod_security.standards import violations
from wherry.apiserver.admission.pod_security.words import Violation
from wherry.apiserver.admission.request import AdmissionRequest

PODS_CHECKED_MAX = 3000
"""Of a namespace whose level was raised, as Kubernetes limits it."""
_TEMPLATED = {
    ("", "replicationcontrollers"), ("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"),
    ("apps", "daemonsets"), ("batch", "jobs"),
}  # fmt: skip
_WITHOUT_PODS = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
"""Subresources of a pod that say nothing about its spec."""
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"


class PodSecurity:
    concerns = frozenset({("", "pods"), ("", "namespaces"), ("", "podtemplates"), ("batch", "cronjobs"), *_TEMPLATED})

    async def validate(self, request: AdmissionRequest) -> None:
        obj, resource = request.object, request.resource
        if obj is None or request.operation not in ("CREATE", "UPDATE"):
            return
        if resource.gvr == PODS:
            if request.subresource not in _WITHOUT_PODS and _matters(obj, request.old_object):
                _judge(request, obj, obj["spec"], enforce=True)
        elif resource.gvr == NAMESPACES:
            if not request.subresource:
                _namespace(request, obj)
        elif not request.subresource:
            template = _template(resource.group, resource.resource, obj)
            if template is not None:
                _judge(request, template, template.get("spec") or {}, enforce=False)


def _template(group: str, resource: str, obj: Obj) -> Obj | None:
    """The pod template of a workload, None for what has none."""
    if (group, resource) == ("", "podtemplates"):
        return obj.get("template")
    spec = obj.get("spec") or {}
    if (group, resource) == ("batch", "cronjobs"):
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif (group, resource) not in _TEMPLATED:
        return None
    return spec.get("template")


def _judge(request: AdmissionRequest, holder: Obj, spec: Obj, *, enforce: bool) -> None:
    """`holder` has the metadata. Raises StatusError (403) when enforced."""
    namespace = request.context.read.get(NAMESPACES, request.namespace)
    policy, causes = read(((namespace or {}).get("metadata") or {}).get("labels"))
    if policy == Policy() and not causes:
        return
    metadata, minor = holder.get("metadata") or {}, _minor(request)
    if causes:
        request.annotations["pod-security.kubernetes.io/error"] = f"Failed to parse policy: {causes[0].message}"

    def found(standard: Standard) -> list[Violation]:
        return violations(standard.level, min(standard.minor, minor), metadata, spec)

    def told(standard: Standard, bad: list[Violation]) -> str:
        return f'violate PodSecurity "{standard}": {", ".join(map(str, bad))}'

    if bad := found(policy.audit):
        request.annotations[f"{PREFIX}audit-violations"] = f"would {told(policy.audit, bad)}"
    if enforce:
        request.annotations[f"{PREFIX}enforce-policy"] = str(policy.enforce)
        if bad := found(policy.enforce):
            raise request.forbid(told(policy.enforce, bad).replace("violate", "violates", 1))
    if bad := found(policy.warn):
        request.warn(f"would {told(policy.warn, bad)}")


def _minor(request: AdmissionRequest) -> int:
    """`latest` is what the served version of Kubernetes knows."""
    assert request.world is not None
    return int(request.world.scheme.version.split(".")[1])


def _matters(pod: Obj, old: Obj | None) -> bool:
    """An update that changes nothing a standard looks at is let through, whatever the pod is."""
    if old is None:
        return True
    for key in ("containers", "initContainers"):
        now, before = pod["spec"].get(key) or [], old["spec"].get(key) or []
        if len(now) != len(before) or any(_changed(pod, old, *pair) for pair in zip(now, before, strict=True)):
            return True
    before = {each["name"]: each for each in old["spec"].get("ephemeralContainers") or ()}
    added = pod["spec"].get("ephemeralContainers") or ()
    if any(each["name"] not in before or _changed(pod, old, each, before[each["name"]]) for each in added):
        return True
    return _annotation(pod, _SECCOMP_POD) != _annotation(old, _SECCOMP_POD)


def _changed(pod: Obj, old: Obj, now: Obj, before: Obj) -> bool:
    key = f"{_SECCOMP}{now['name']}"
    return now.get("image") != before.get("image") or _annotation(pod, key) != _annotation(old, key)


def _annotation(obj: Obj, key: str) -> str | None:
    return (obj["metadata"].get("annotations") or {}).get(key)


# -- namespaces


def _namespace(request: AdmissionRequest, namespace: Obj) -> None:
    """Labels must be readable; a stricter level is held against the pods that are there. Raises StatusError (422)."""
    policy, causes = read(namespace["metadata"].get("labels"))
    old = request.old_object
    before, old_causes = read(old["metadata"].get("labels")) if old is not None else (Policy(), [])
    if causes and causes != old_causes:
        raise _unreadable(request, namespace["metadata"]["name"], causes)
    enforce = policy.enforce
    if old is None or enforce == before.enforce or enforce.level == "privileged":
        return
    if enforce.minor == before.enforce.minor and LEVELS.index(enforce.level) <= LEVELS.index(before.enforce.level):
        return
    name = namespace["metadata"]["name"]
    for text in _against(name, enforce, list(request.context.read.list(PODS, name)), _minor(request)):
        request.warn(text)


def _unreadable(request: AdmissionRequest, name: str, causes: list[Cause]) -> StatusError:
    problem = invalid("Namespace", "", name, causes)
    error = request.forbid(problem.message)
    error.code, error.reason, error.details = problem.code, problem.reason, problem.details
    return error


def _against(namespace: str, enforce: Standard, pods: list[Obj], minor: int) -> Iterable[str]:
    """Warnings about pods that are there already: pods with the same violations share a line."""
    checked = _distinct(pods)[:PODS_CHECKED_MAX]
    if len(checked) < len(pods):
        text = f"only checked against the first {len(checked)} of {len(pods)} existing pods"
        yield f"new PodSecurity enforce level {text}"
    same: dict[str, list[str]] = {}
    for pod in checked:
        bad = violations(enforce.level, min(enforce.minor, minor), pod["metadata"], pod["spec"])
        if bad:
            same.setdefault(", ".join(each.reason for each in bad), []).append(pod["metadata"]["name"])
    if same:
        yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{enforce}"'
    yield from sorted(f"{_names(names)}: {reason}" for reason, names in same.items())


def _names(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"


def _distinct(pods: list[Obj]) -> list[Obj]:
    """One pod of each controller first, so that the limit cuts off only replicas."""
    first: list[Obj] = []
    replicas: list[Obj] = []
    seen: set[str] = set()
    for pod in pods:
        owner = next(
            (each["uid"] for each in pod["metadata"].get("ownerReferences") or () if each.get("controller")), None
        )
        (replicas if owner in seen else first).append(pod)
        if owner is not None:
            seen.add(owner)
    return first + replicas
