"""What a Kubernetes 1.36 answered, asked again over TLS: status, type, warnings and body of each request.

Every recorded scenario is replayed whole, in a namespace of its own; what differs is listed with its reason in
docs/recorded-differences.md, which this test keeps true.
The files and their placeholders are described in `tests/reference/exchanges/README.md`.
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
from recorded_bodies import Matcher, dig, prepared, text_of

EXCHANGES = Path(__file__).parents[1] / "reference" / "exchanges"
SCENARIOS = sorted(path.stem for path in EXCHANGES.glob("*.json"))
PATIENCE = 60
POLL_SECONDS = 1
"""What differs by what the page says is not waited for as long as the recorder did."""
AGENT = "exchanges/1.0"
NAMES = ("ns", "sfx", "x256k", "x1m", "x4m")
PAGE = Path(__file__).parents[2] / "docs" / "recorded-differences.md"
ROWS = re.findall(r"^\| `([a-z-]+)` \| ([0-9, ]+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
DEVIATIONS = {
    (scenario, int(step)): why.startswith("sometimes") for scenario, steps, why in ROWS for step in steps.split(",")
}
"""(scenario, step) -> whether it differs only sometimes, as the page for users has them."""


class Replay:
    """One scenario being asked."""

    def __init__(self, plane: ControlPlane, name: str, token: str) -> None:
        self.plane, self.token = plane, token
        self.made: set[str] = set()
        """Paths of what it made outside its namespace; an APIService without a server would trouble other clients."""
        self.name = name
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
                end = time.monotonic() + (POLL_SECONDS if (self.name, index) in DEVIATIONS else PATIENCE)
                while not self.done(step["poll"], answer) and time.monotonic() < end:
                    time.sleep(0.05)
                    answer = self.perform(step)
            for variable, path in step.get("save", {}).items():
                self.variables[variable] = str(dig(answer.body, path))
            for problem in self.compare(step, answer):
                yield index, f"{step['do'][:150]}: {problem}"
        for path in [core, *self.made]:
            self.plane.ask("DELETE", path)

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
        answer = self.plane.ask(method, path.replace(" ", "%20"), data, content_type, token=token, **headers)
        if answer.status == 201 and "/namespaces/" not in path and isinstance(answer.body, dict):
            where, name = path.partition("?")[0].rstrip("/"), answer.body.get("metadata", {}).get("name", "")
            if name:
                self.made.add(where if where.endswith(f"/{name}") else f"{where}/{name}")
        return answer

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{([a-z][a-z0-9_]*)\}", lambda found: str(self.variables.get(found[1], found[0])), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return {self.fill(key): self.fill(item) for key, item in value.items()} if isinstance(value, dict) else value

    def compare(self, step: dict[str, Any], answer: Answer) -> Iterator[str]:
        expected = step["expect"]
        if answer.status != expected["status"]:
            yield f"{answer.status}, recorded {expected['status']}: {str(answer.body)[:300]}"
            return
        media = answer.headers.get("content-type", "")
        if media != expected.get("type", "application/json"):
            yield f"Content-Type {media}, recorded {expected.get('type')}"
        warnings = [re.sub(r"\\(.)", r"\1", text.partition('"')[2][:-1]) for text in answer.warnings]
        matcher = Matcher({name: text for name, text in self.variables.items() if name in NAMES})
        yield from matcher.differences(expected.get("warnings", []), warnings, "warnings")
        recorded = expected.get("body")
        if isinstance(recorded, dict) and recorded.get("status") == "Failure":
            yield from self.refused(matcher, recorded, answer.body)
        elif "body" in expected:
            yield from matcher.differences(recorded, prepared(answer.body, step), "")
        elif expected.get("text", "<protobuf>") != "<protobuf>" and isinstance(answer.body, bytes):
            yield from matcher.differences(expected["text"], text_of(answer.body, step), "text")

    def refused(self, matcher: Matcher, recorded: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
        """A Status: its causes in any order, its message where there is one of them."""
        if ours.get("reason") != recorded.get("reason"):
            yield f"reason {ours.get('reason')}, recorded {recorded.get('reason')}"
        (details, causes), (our_details, our_causes) = _details(recorded), _details(ours)
        yield from matcher.differences(details, our_details, "details")
        if not matcher.same(causes, our_causes):
            yield f"causes {our_causes}, recorded {causes}"
        elif len(causes) < 2:
            yield from matcher.differences(recorded["message"], ours["message"], "message")


def _details(status: dict[str, Any]) -> tuple[dict[str, Any], list[list[str]]]:
    details = status.get("details") or {}
    causes = [[cause.get(key, "") for key in ("field", "reason", "message")] for cause in details.get("causes") or []]
    return {key: value for key, value in details.items() if key != "causes"}, sorted(causes)


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
    expected = [step for (scenario, step), sometimes in DEVIATIONS.items() if scenario == name and not sometimes]
    assert [step for step in expected if step not in wrong] == [], "no longer deviate"


def test_every_row_of_the_page_is_of_a_scenario() -> None:
    assert {scenario for scenario, _ in DEVIATIONS} - set(SCENARIOS) == set()
    assert len(ROWS) > 1
