"""What a Kubernetes 1.36 answered, asked again over TLS: status, reason, message, causes, details and warnings of each request.

Every recorded scenario is replayed whole, in a namespace of its own; of successes the owners of fields are compared, the rest
where the registries are tested. The files and their placeholders are described in `tests/reference/exchanges/README.md`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane_process import Answer, ControlPlane

EXCHANGES = Path(__file__).parents[1] / "reference" / "exchanges"
SCENARIOS = sorted(path.stem for path in EXCHANGES.glob("*.json"))
PATIENCE = 20
POLL_SECONDS = 1
"""What a controller here does not do is not waited for as long as the recorder did."""
AGENT = "exchanges/1.0"
WILD = {
    "<uid>": r"[0-9a-f-]{36}", "<rv>": r"[0-9]+", "<time>": r"\d{4}-\d\d-\d\d[T ][-0-9:.TZ+ UC]+", "<gen>": r"[a-z0-9]{5}",
    "<ip>": r"[0-9.]+", "<continue>": r"[\w=-]+", "<token>": r"[\w.-]+", "<dur>": r"\S+", "<port>": r"\d+", "<node>": r"\S*",
    "<server>": r"127\.0\.0\.1:\d+",
}  # fmt: skip
APPLY = "a configuration that does not fit its schema is the client's mistake: 400, where Kubernetes says 500"
INTERNALS = "Kubernetes shows its internal Go structures; here the object as users know it"
INPUT = "bad input is the client's mistake: 400, where Kubernetes says 500"
EMPTY = "an empty map or list and an absent one are the same here"
DEVIATIONS = {
    ("apply-deployment", 7): APPLY,
    ("apply-deployment", 8): APPLY,
    ("apply-lists", 1): APPLY,
    ("apply-lists", 2): APPLY,
    ("apply-lists", 3): APPLY,
    ("apply-lists", 7): APPLY,
    ("content-negotiation", 3): "protobuf is read, not written",
    ("daemonset-selector", 3): EMPTY,
    ("deployment-selector", 3): EMPTY,
    ("deprecated-apis", 1): "one kind whose singular name Kubernetes uses there",
    ("endpointslice", 10): "addresses are judged by the new type as well, so there is a second cause",
    ("fieldvalidation-ignore", 12): APPLY,
    ("fieldvalidation-warn", 12): APPLY,
    ("hpa", 15): EMPTY,
    ("job-update", 3): INTERNALS,
    ("list-limit-continue", 7): "what a JSON decoder says of garbage",
    ("list-limit-continue", 8): "a fresh server has forgotten nothing yet, not even revision 1",
    ("list-resourceversion", 21): INPUT,
    ("pod-binding", 1): INPUT,
    ("pod-binding", 2): INPUT,
    ("pod-ephemeralcontainers", 6): INTERNALS,
    ("pod-probes-invalid", 13): "a field of a feature that is off is dropped before owners are counted",
    ("pod-resize", 4): INTERNALS,
    ("pvc", 13): INTERNALS,
    ("pvc", 14): INTERNALS,
    ("pvc", 16): INTERNALS,
    ("rbac-validation", 5): EMPTY,
    ("runtimeclass-lease-event", 12): "causes name the field as the other version of the kind has it",
    ("serviceaccount-token", 20): "a token dies with its account at once; there it is remembered for ten seconds",
    ("statefulset-selector", 3): EMPTY,
    ("strategicpatch", 6): INPUT,
    ("strategicpatch", 13): INPUT,
    ("strategicpatch", 14): INPUT,
    ("storageclass", 12): "VolumeAttachments have no rules of their own yet",
}


class Replay:
    """One scenario being asked."""

    def __init__(self, plane: ControlPlane, name: str, token: str) -> None:
        self.plane, self.token = plane, token
        self.scenario = json.loads((EXCHANGES / f"{name}.json").read_text())
        suffix = hashlib.sha256(name.encode()).hexdigest()[:6]
        self.namespace = f"xns-{suffix}"
        self.variables: dict[str, str] = {
            "ns": self.namespace, "sfx": suffix, "x256k": "x" * 262145, "x1m": "x" * 1048577, "x4m": "x" * 4194304,
        } | self.scenario.get("vars", {})  # fmt: skip

    def problems(self) -> Iterator[tuple[int, str]]:
        """(step, what is not as recorded)."""
        core = f"/api/v1/namespaces/{self.namespace}"
        self.plane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}}, User_Agent=AGENT)
        end = time.monotonic() + PATIENCE
        while self.plane.ask("GET", f"{core}/serviceaccounts/default").status != 200:
            assert time.monotonic() < end
        for index, step in enumerate(self.scenario["steps"]):
            if "do" not in step or "bg" in step or "watch=" in step["do"]:
                continue  # pauses; watches have tests of their own
            answer = self.perform(step)
            if "poll" in step:
                end = time.monotonic() + POLL_SECONDS
                while not self.done(step["poll"], answer) and time.monotonic() < end:
                    time.sleep(0.05)
                    answer = self.perform(step)
            for variable, path in step.get("save", {}).items():
                self.variables[variable] = str(_dig(answer.body, path))
            for problem in self.compare(step["expect"], answer):
                yield index, f"{step['do'][:150]}: {problem}"
        self.plane.ask("DELETE", core)

    def done(self, poll: dict[str, Any], answer: Answer) -> bool:
        text = json.dumps(answer.body, sort_keys=True, separators=(",", ":")) if isinstance(answer.body, dict) else ""
        return answer.status == poll.get("status", answer.status) and re.search(poll.get("match", ""), text) is not None

    def perform(self, step: dict[str, Any]) -> Answer:
        method, _, path = self.fill(step["do"]).partition(" ")
        body = self.fill(step["body"]) if "body" in step else None
        data = self.fill(step["raw"]).encode() if "raw" in step else None if body is None else json.dumps(body).encode()
        headers = {"User-Agent": AGENT, "Accept": "application/json"} | self.fill(step.get("headers", {}))
        headers = {name: value for name, value in headers.items() if value is not None}
        auth = self.fill(step.get("auth", "token"))
        if auth not in ("token", "none"):
            headers["Authorization"] = auth
        token = self.token if auth == "token" else ""
        content_type = step.get("ct", "application/json")
        return self.plane.ask(method, path.replace(" ", "%20"), data, content_type, token=token, **headers)

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{([a-z][a-z0-9_]*)\}", lambda found: str(self.variables.get(found[1], found[0])), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return {self.fill(key): self.fill(item) for key, item in value.items()} if isinstance(value, dict) else value

    def compare(self, expected: dict[str, Any], answer: Answer) -> Iterator[str]:
        if answer.status != expected["status"]:
            yield f"{answer.status}, recorded {expected['status']}: {str(answer.body)[:300]}"
            return
        media = answer.headers.get("content-type", "")
        if media != expected.get("type", "application/json"):
            yield f"Content-Type {media}, recorded {expected.get('type')}"
        warnings = [re.sub(r"\\(.)", r"\1", text.partition('"')[2][:-1]) for text in answer.warnings]
        if not self.same(expected.get("warnings", []), warnings):
            yield f"warnings {warnings}, recorded {expected.get('warnings')}"
        recorded = expected.get("body")
        if not isinstance(recorded, dict):
            return
        if recorded.get("status") != "Failure":
            owners, ours = _owners(recorded), _owners(answer.body)
            if owners is not None and not self.same(owners, ours):
                yield f"managedFields {ours}, recorded {owners}"
            return
        if answer.body.get("reason") != recorded.get("reason"):
            yield f"reason {answer.body.get('reason')}, recorded {recorded.get('reason')}"
        (details, causes), (our_details, our_causes) = _details(recorded), _details(answer.body)
        if not self.same(details, our_details):
            yield f"details {our_details}, recorded {details}"
        if not self.same(causes, our_causes):
            yield f"causes {our_causes}, recorded {causes}"
        elif len(causes) < 2 and not self.same(recorded["message"], answer.body["message"]):
            yield f"{answer.body['message']!r:.700}\n    recorded {recorded['message']!r:.700}"

    def same(self, recorded: Any, ours: Any) -> bool:
        if isinstance(recorded, str) and isinstance(ours, str):
            pattern = re.escape(recorded)
            for wild, text in WILD.items():
                pattern = pattern.replace(re.escape(wild), text)
            known = {"{ns}": self.namespace, "{sfx}": self.variables["sfx"]} | {
                f"{{{name}}}": text for name, text in self.variables.items() if len(text) > 1000
            }
            for name, text in known.items():
                if (escaped := re.escape(name)) in pattern:
                    pattern = pattern.replace(escaped, re.escape(text))
            return re.fullmatch(pattern, ours, re.DOTALL) is not None
        if isinstance(recorded, list) and isinstance(ours, list):
            return len(recorded) == len(ours) and all(map(self.same, recorded, ours))
        if isinstance(recorded, dict) and isinstance(ours, dict):
            return recorded.keys() == ours.keys() and all(self.same(recorded[key], ours[key]) for key in recorded)
        return bool(recorded == ours)


def _details(status: dict[str, Any]) -> tuple[dict[str, Any], list[list[str]]]:
    details = status.get("details") or {}
    causes = [[cause.get(key, "") for key in ("field", "reason", "message")] for cause in details.get("causes") or []]
    return {key: value for key, value in details.items() if key != "causes"}, sorted(causes)


def _owners(body: Any) -> list[dict[str, Any]] | None:
    """The managedFields of an answer, in the order of the recordings; None where they were not recorded."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    found = (
        body.get("metadata.managedFields") or (metadata or {}).get("managedFields") if isinstance(body, dict) else None
    )
    if found is None:
        return None
    keys = ("operation", "manager", "subresource", "apiVersion")
    return sorted(found, key=lambda each: [each.get(key, "") for key in keys])


def _dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value.get(part.replace("~1", "."))
    return value


@pytest.fixture(scope="module")
def token(plane: ControlPlane) -> str:
    """Of an account that may do everything: some steps leave the credentials out, which a certificate cannot."""
    core = "/api/v1/namespaces/kube-system/serviceaccounts"
    plane.ask("POST", core, {"metadata": {"name": "replayer"}})
    subject = {"kind": "ServiceAccount", "name": "replayer", "namespace": "kube-system"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "replayer"}, "subjects": [subject], "roleRef": reference}
    plane.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    text: str = plane.ask("POST", f"{core}/replayer/token", {"spec": {}}).body["status"]["token"]
    return text


@pytest.mark.parametrize("name", SCENARIOS)
def test_recorded(plane: ControlPlane, token: str, name: str) -> None:
    found = list(Replay(plane, name, token).problems())
    assert [f"{step} {problem}" for step, problem in found if (name, step) not in DEVIATIONS] == []
    wrong = {step for step, _ in found}
    assert [step for scenario, step in DEVIATIONS if scenario == name and step not in wrong] == [], "no longer deviate"
