"""Rows of who may do what and what the server is told about itself: RBAC, admission, priorities, leases, certificates."""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.printers.core import CREATED
from wherry.apiserver.printers.form import (
    NONE,
    UNSET,
    Printer,
    age,
    columns,
    condition,
    human_duration,
    name,
    spec,
    status,
)


def binding(obj: Obj, now: float) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects = obj.get("subjects") or []

    def of(kind: str) -> str:
        return ", ".join(subject.get("name", "") for subject in subjects if subject.get("kind") == kind)

    accounts = [s for s in subjects if s.get("kind") == "ServiceAccount"]
    return [
        name(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age(obj, now),
        of("User"),
        of("Group"),
        ", ".join(f"{account.get('namespace', '')}/{account.get('name', '')}" for account in accounts),
    ]


def webhooks(obj: Obj, now: float) -> list[Any]:
    return [name(obj), len(obj.get("webhooks") or []), age(obj, now)]


def admission_policy(obj: Obj, now: float) -> list[Any]:
    rules = spec(obj).get("validations") or spec(obj).get("mutations") or []
    parameter = spec(obj).get("paramKind")
    shown = f"{parameter.get('apiVersion', '')}/{parameter.get('kind', '')}" if parameter else UNSET
    return [name(obj), len(rules), shown, age(obj, now)]


def admission_policy_binding(obj: Obj, now: float) -> list[Any]:
    reference = spec(obj).get("paramRef")
    shown = "/".join(filter(None, (reference.get("namespace"), reference.get("name")))) if reference else UNSET
    return [name(obj), spec(obj).get("policyName", ""), shown or "*", age(obj, now)]


def priority_class(obj: Obj, now: float) -> list[Any]:
    preemption = obj.get("preemptionPolicy", "")
    return [name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), preemption]


def disruption_budget(obj: Obj, now: float) -> list[Any]:
    return [
        name(obj),
        str(spec(obj).get("minAvailable", "N/A")),
        str(spec(obj).get("maxUnavailable", "N/A")),
        status(obj).get("disruptionsAllowed", 0),
        age(obj, now),
    ]


def lease(obj: Obj, now: float) -> list[Any]:
    return [name(obj), spec(obj).get("holderIdentity", ""), age(obj, now)]


def runtime_class(obj: Obj, now: float) -> list[Any]:
    return [name(obj), obj.get("handler", ""), age(obj, now)]


def signing_request(obj: Obj, now: float) -> list[Any]:
    seconds = spec(obj).get("expirationSeconds")
    return [
        name(obj),
        age(obj, now),
        spec(obj).get("signerName") or NONE,
        spec(obj).get("username", ""),
        NONE if seconds is None else human_duration(seconds),
        _signing_status(obj),
    ]


def _signing_status(obj: Obj) -> str:
    types = {c.get("type") for c in status(obj).get("conditions") or []}
    words = ["Denied"] if "Denied" in types else ["Approved"] if "Approved" in types else ["Pending"]
    words += ["Failed"] if "Failed" in types else []
    words += ["Issued"] if status(obj).get("certificate") else []
    return ",".join(words)


def api_service(obj: Obj, now: float) -> list[Any]:
    service = spec(obj).get("service")
    available = condition(obj, "Available")
    word = "Unknown"
    if available is not None:
        state = available.get("status", "Unknown")
        word = state if state == "True" else f"{state} ({available.get('reason', '')})"
    where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name(obj), where, word, age(obj, now)]


def flow_schema(obj: Obj, now: float) -> list[Any]:
    dangling = condition(obj, "Dangling")
    return [
        name(obj),
        (spec(obj).get("priorityLevelConfiguration") or {}).get("name", ""),
        spec(obj).get("matchingPrecedence", 0),
        (spec(obj).get("distinguisherMethod") or {}).get("type") or NONE,
        age(obj, now),
        "?" if dangling is None else dangling.get("status", "?"),
    ]


def priority_level(obj: Obj, now: float) -> list[Any]:
    limited = spec(obj).get("limited") or spec(obj).get("exempt") or {}
    queuing = ((spec(obj).get("limited") or {}).get("limitResponse") or {}).get("queuing") or {}
    return [
        name(obj),
        spec(obj).get("type", ""),
        str(limited.get("nominalConcurrencyShares", NONE)),
        str(queuing.get("queues", NONE)),
        str(queuing.get("handSize", NONE)),
        str(queuing.get("queueLengthLimit", NONE)),
        age(obj, now),
    ]


_BINDING = Printer(columns("Name|Role|Age|+Users|+Groups|+ServiceAccounts"), binding)
_WEBHOOKS = Printer(columns("Name|Webhooks:i|Age"), webhooks)
_POLICY_BINDING = Printer(columns("Name|PolicyName|ParamRef|Age"), admission_policy_binding)
PRINTERS = {
    "rbac.authorization.k8s.io/roles": CREATED,
    "rbac.authorization.k8s.io/clusterroles": CREATED,
    "rbac.authorization.k8s.io/rolebindings": _BINDING,
    "rbac.authorization.k8s.io/clusterrolebindings": _BINDING,
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": _WEBHOOKS,
    "admissionregistration.k8s.io/validatingwebhookconfigurations": _WEBHOOKS,
    "admissionregistration.k8s.io/mutatingadmissionpolicies": Printer(
        columns("Name|Mutations:i|ParamKind|Age"), admission_policy
    ),
    "admissionregistration.k8s.io/validatingadmissionpolicies": Printer(
        columns("Name|Validations:i|ParamKind|Age"), admission_policy
    ),
    "admissionregistration.k8s.io/mutatingadmissionpolicybindings": _POLICY_BINDING,
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": _POLICY_BINDING,
    "apiextensions.k8s.io/customresourcedefinitions": CREATED,
    "apiregistration.k8s.io/apiservices": Printer(columns("Name|Service|Available|Age"), api_service),
    "scheduling.k8s.io/priorityclasses": Printer(
        columns("Name|Value:i|Global-Default:b|Age|PreemptionPolicy"), priority_class
    ),
    "policy/poddisruptionbudgets": Printer(
        columns("Name|Min Available|Max Unavailable|Allowed Disruptions:i|Age"), disruption_budget
    ),
    "coordination.k8s.io/leases": Printer(columns("Name|Holder|Age"), lease),
    "node.k8s.io/runtimeclasses": Printer(columns("Name|Handler|Age"), runtime_class),
    "certificates.k8s.io/certificatesigningrequests": Printer(
        columns("Name|Age|SignerName|Requestor|RequestedDuration|Condition"), signing_request
    ),
    "flowcontrol.apiserver.k8s.io/flowschemas": Printer(
        columns("Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL"), flow_schema
    ),
    "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations": Printer(
        columns("Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age"), priority_level
    ),
}
