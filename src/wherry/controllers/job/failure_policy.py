"""spec.podFailurePolicy: what one failed pod means for the Job. Pure; the first rule that matches decides."""

from __future__ import annotations

from wherry.api.types import Obj


def action(job: Obj, pod: Obj) -> tuple[str, str]:
    """(action, message): "Count" without a policy or a match; the message is for action "FailJob"."""
    policy = job["spec"].get("podFailurePolicy") or {}
    for number, rule in enumerate(policy.get("rules") or ()):
        why = _exit_code(rule, pod) if rule.get("onExitCodes") else _pod_condition(rule, pod)
        if why:
            return rule["action"], f"{why} matching {rule['action']} rule at index {number}"
    return "Count", ""


def _exit_code(rule: Obj, pod: Obj) -> str:
    wanted = rule["onExitCodes"]
    status = pod.get("status", {})
    metadata = pod["metadata"]
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        terminated = (container.get("state") or {}).get("terminated")
        if wanted.get("containerName") not in (None, "", container["name"]) or not terminated:
            continue
        code = terminated["exitCode"]
        # Success is never a failure, whatever NotIn says.
        if code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In"):
            name = f"{metadata['namespace']}/{metadata['name']}"
            return f"Container {container['name']} for pod {name} failed with exit code {code}"
    return ""


def _pod_condition(rule: Obj, pod: Obj) -> str:
    metadata = pod["metadata"]
    for wanted in rule.get("onPodConditions") or ():
        for found in pod.get("status", {}).get("conditions") or ():
            if found["type"] == wanted["type"] and found["status"] == wanted.get("status", "True"):
                return f"Pod {metadata['namespace']}/{metadata['name']} has condition {wanted['type']}"
    return ""
