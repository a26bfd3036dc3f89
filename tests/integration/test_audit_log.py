"""The audit log of a control plane as `wherry up --audit-policy` runs it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from click.testing import CliRunner
from control_plane_process import ControlPlane

from wherry.cli.kept_file import KeptFile, judge_audit_policy
from wherry.cli.main import main

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:kube-controller-manager]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: Metadata
"""
MAPS = "/api/v1/namespaces/default/configmaps"


def test_who_did_what_from_where(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    text = KeptFile(judge_audit_policy).convert(str(file), None, None)
    file.unlink()
    with ControlPlane(tmp_path, audit_policy=text) as plane:
        said = plane.ask("POST", MAPS, {"metadata": {"name": "audited"}, "data": {"a": "1"}})
        for _ in range(3):  # also what is answered from memory
            plane.ask("GET", f"{MAPS}/audited")
        plane.ask("GET", "/version", token="")
        plane.ask("GET", MAPS, token="")
        path = plane.state.log("audit")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(event["user"].get("username") != "system:kube-controller-manager" for event in events)
    assert {event["stage"] for event in events} <= {"ResponseStarted", "ResponseComplete"}
    ours = [event for event in events if event.get("objectRef", {}).get("name") == "audited"]
    assert [event["verb"] for event in ours] == ["create", "get", "get", "get"]
    assert ours[0]["auditID"] == said.headers["audit-id"]
    assert ours[0]["sourceIPs"] == ["127.0.0.1"]
    assert ours[0]["requestObject"]["data"] == ours[0]["responseObject"]["data"] == {"a": "1"}
    anonymous = [(each["user"].get("username"), each["responseStatus"]["code"]) for each in events[-2:]]
    assert anonymous == [("system:anonymous", 200), (None, 401)]


def test_a_wrong_policy_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Loud}]\n")
    state = tmp_path / "state"
    result = CliRunner().invoke(main, ["up", "--audit-policy", str(file), "--state-dir", str(state)])
    assert result.exit_code == 2
    assert "rules[0].level: choose one of None, Metadata, Request, RequestResponse, not 'Loud'" in result.output
    assert not state.exists()
