"""What the audit log says, of whom, how much of it, and where it ends."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server
from hypothesis import given
from hypothesis import strategies as st

from wherry.aio.clock import LoopClock
from wherry.apiserver.audit.audit import Audit
from wherry.apiserver.audit.file import AuditFile
from wherry.apiserver.audit.policy import Policy, PolicyError, parse
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.user import User

SECRETS = "/api/v1/namespaces/shop/secrets"
HIDDEN = "aGlkZGVu"


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more})


async def audited(folder: Path, *rules: dict[str, Any], **more: Any) -> Server:
    audit = Audit(policy(*rules, **more), AuditFile(folder / "audit.log"), LoopClock(), random.Random(1))
    server = await make_server(audit=audit)
    (folder / "audit.log").write_text("")
    return server


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]


async def test_an_event_of_each_stage(tmp_path: Path) -> None:
    server = await audited(tmp_path, {"level": "RequestResponse"})
    said = await server.ask("POST", f"{MAPS}?pretty=0", config_map(a="1"), user_agent="tests/1")
    received, complete = events(tmp_path)
    assert said.headers["Audit-Id"] == received["auditID"] == complete["auditID"]
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert "requestObject" not in received
    assert {key: complete[key] for key in ("kind", "apiVersion", "level", "verb", "requestURI", "userAgent")} == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "verb": "create",
        "requestURI": f"{MAPS}?pretty=0",
        "userAgent": "tests/1",
    }
    assert complete["user"] == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}
    assert complete["objectRef"] == {"resource": "configmaps", "namespace": "shop", "name": "c", "apiVersion": "v1"}
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["requestObject"]["data"] == {"a": "1"}
    assert complete["responseObject"]["metadata"]["uid"]
    assert complete["annotations"] == {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}


async def test_refusals_and_impersonation(tmp_path: Path) -> None:
    server = await audited(tmp_path, {"level": "Metadata"}, omitStages=["RequestReceived"])
    await server.ask("GET", MAPS, token="jane")
    await server.ask("GET", MAPS, token="nobody")
    await server.ask("GET", f"{MAPS}/none", Impersonate_User="eve", Impersonate_Group="system:masters")
    forbidden, unauthorized, missing = events(tmp_path)
    assert forbidden["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert (forbidden["responseStatus"]["code"], forbidden["responseStatus"]["reason"]) == (403, "Forbidden")
    assert (unauthorized["user"], unauthorized["responseStatus"]["code"]) == ({}, 401)
    assert (missing["user"]["username"], missing["impersonatedUser"]["username"]) == ("admin", "eve")
    assert missing["responseStatus"]["message"] == 'configmaps "none" not found'


async def test_a_watch_starts_and_ends(tmp_path: Path) -> None:
    server = await audited(tmp_path, {"level": "Metadata"})
    await server.ask("POST", MAPS, config_map())
    (tmp_path / "audit.log").write_text("")
    watch = await server.watch(f"{MAPS}?watch=1", Audit_Id="mine")
    assert (await anext(watch))["type"] == "ADDED"
    assert [event["stage"] for event in events(tmp_path)] == ["RequestReceived", "ResponseStarted"]
    await watch.aclose()
    assert [(event["stage"], event["auditID"]) for event in events(tmp_path)][-1] == ("ResponseComplete", "mine")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"level": "RequestResponse"}, False),
        ({"level": "RequestResponse", "resources": [{"group": ""}]}, False),
        ({"level": "RequestResponse", "resources": [{"group": "", "resources": ["*"]}]}, False),
        ({"level": "RequestResponse", "resources": [{"group": "", "resources": ["secrets"]}]}, True),
    ],
)
async def test_bodies_of_secrets_are_written_only_by_a_rule_that_names_them(
    tmp_path: Path, rule: dict[str, Any], told: bool
) -> None:
    server = await audited(tmp_path, rule)
    await server.ask("POST", SECRETS, {"metadata": {"name": "s"}, "data": {"w": HIDDEN}})
    await server.ask("PATCH", f"{SECRETS}/s", {"data": {"v": HIDDEN}}, content_type="application/merge-patch+json")
    await server.ask("GET", SECRETS)
    await server.ask("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"w": HIDDEN}})
    text = (tmp_path / "audit.log").read_text()
    assert len(text.splitlines()) == 8
    assert (HIDDEN in text) is told


async def test_levels_and_managed_fields(tmp_path: Path) -> None:
    rules = (
        {"level": "None", "users": ["jane"]},
        {"level": "Request", "verbs": ["patch"]},
        {"level": "RequestResponse", "omitManagedFields": True},
    )
    server = await audited(tmp_path, *rules, omitStages=["RequestReceived"])
    await server.ask("GET", MAPS, token="jane")
    fields = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    body = config_map()
    body["metadata"]["managedFields"] = fields
    await server.ask("POST", MAPS, body)
    await server.ask("GET", MAPS)
    patch = {"data": {"b": "2"}}
    await server.ask("PATCH", f"{MAPS}/c", patch, content_type="application/merge-patch+json")
    created, listed, patched = events(tmp_path)
    assert "managedFields" not in json.dumps([created, listed])
    assert listed["responseObject"]["items"][0]["metadata"]["name"] == "c"
    assert patched["requestObject"] == patch
    assert "responseObject" not in patched


@pytest.mark.parametrize(
    ("rule", "attributes", "fits"),
    [
        ({"verbs": ["get"]}, Attributes("list", "", "pods"), False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, Attributes("get", "", "pods", "log"), False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, Attributes("get", "", "pods", "log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, Attributes("get", "", "pods", "log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, Attributes("get", "", "pods"), False),
        ({"resources": [{"group": "apps", "resources": ["*/scale"]}]}, Attributes("get", "apps", "x", "scale"), True),
        ({"resources": [{"group": "apps"}]}, Attributes("get", "", "pods"), False),
        (
            {"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]},
            Attributes("get", "", "pods", name="b"),
            False,
        ),
        ({"namespaces": [""]}, Attributes("get", "", "nodes"), True),
        ({"namespaces": ["shop"]}, Attributes("get", "", "nodes"), False),
        ({"namespaces": [""]}, Attributes("get", path="/version"), False),
        ({"nonResourceURLs": ["/healthz*"]}, Attributes("get", path="/healthz/ping"), True),
        ({"nonResourceURLs": ["/healthz*"]}, Attributes("get", "", "pods"), False),
        ({"userGroups": ["devs"]}, Attributes("get", "", "pods"), True),
        ({"userGroups": ["ops"]}, Attributes("get", "", "pods"), False),
    ],
)
def test_which_rule_fits(rule: dict[str, Any], attributes: Attributes, fits: bool) -> None:
    found = policy({"level": "Metadata", **rule}).rule(User("jane", ("devs",)), attributes)
    assert found.level == ("Metadata" if fits else "None")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"kind": "Other"}, "an audit policy is an object of apiVersion audit.k8s.io/v1 and kind Policy"),
        ({"rules": []}, "rules: a policy has at least one"),
        ({"rules": [{"level": "All"}]}, r"rules\[0\].level: choose one of None, Metadata, Request, RequestResponse"),
        ({"rules": [{"level": "None", "user": ["x"]}]}, r"rules\[0\].user: no such field"),
        ({"rules": [{"level": "None", "omitStages": ["Later"]}]}, r"rules\[0\].omitStages: choose of"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["x"]}]}, r"'x' must begin with '/'"),
        (
            {"rules": [{"level": "None", "resources": [{"group": "", "resourceNames": ["a"]}]}]},
            "using resourceNames requires at least one resource",
        ),
    ],
)
def test_a_wrong_policy_is_refused_by_its_place(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}], **wrong})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "get", "None", "Metadata", "pods/*", "/x*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rules", "level", "resources", "group", "users", "omitStages", "namespaces", "resourceNames"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING)
def test_any_policy_is_read_or_refused(rules: Any, rule: Any) -> None:
    for given_rules in (rules, [rule], [{"level": "Metadata", **(rule if isinstance(rule, dict) else {})}]):
        try:
            found = parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": given_rules})
        except PolicyError:
            continue
        assert found.rule(None, Attributes("get", "", "pods")).level in ("None", "Metadata")


def test_the_files_are_bounded_and_their_owners_only(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.log", bytes_max=100, files_max=3)
    for number in range(40):
        file.write({"number": number})
    file.close()
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 100 for path in paths)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert json.loads((tmp_path / "audit.log").read_text().splitlines()[-1]) == {"number": 39}


def test_what_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = AuditFile(tmp_path / "none" / "audit.log")
    file.write({})
    file.write({})
    assert [record.getMessage() for record in caplog.records] == [
        f"audit events are lost, {tmp_path}/none/audit.log cannot be written: No such file or directory"
    ]
