"""Priority and fairness: which flow a request belongs to, who gets a seat, who waits, who is turned away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_core import JANE, make_server
from hypothesis import given
from hypothesis import strategies as st

from wherry.aio.virtual import run_virtual
from wherry.api import exposition
from wherry.api.resources import FLOW_SCHEMAS
from wherry.api.types import GVR, Obj
from wherry.apiserver import flow_matching
from wherry.apiserver.auth.user import User, service_account_user
from wherry.apiserver.filters.request_info import parse
from wherry.apiserver.flow_metrics import flows
from wherry.apiserver.limits import WAIT_SECONDS, Flow, Limits, TooMany, deal
from wherry.storage.memory import MemoryStorage

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


def rule(subject: Obj, **more: Any) -> Obj:
    resource = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    return {"subjects": [subject], "resourceRules": [resource | more]}


def schema(name: str, *rules: Obj, precedence: int = 1000, level: str = "low", method: str = "") -> Obj:
    spec: Obj = {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": list(rules)}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": spec | ({"distinguisherMethod": {"type": method}} if method else {}),
    }


def level(name: str, shares: int, queuing: Obj | None = None, lends: int = 0) -> Obj:
    response: Obj = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lends, "limitResponse": response}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {"type": "Limited", "limited": limited}}


class Stored:
    def __init__(self, schemas: list[Obj], levels: list[Obj]) -> None:
        self.schemas, self.levels = schemas, levels

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
        return None

    def list(self, gvr: GVR, namespace: str | None = None) -> list[Obj]:
        return self.schemas if gvr == FLOW_SCHEMAS else self.levels


EVERYBODY = {"kind": "Group", "group": {"name": "*"}}
PODS = parse("GET", "/api/v1/namespaces/shop/pods", {})


def limits(seats: dict[str, tuple[int, Obj | None]]) -> Limits:
    """Levels with exactly so many seats; one schema per level, named like it, for a user of that name."""
    schemas = [schema(name, rule({"kind": "User", "user": {"name": name}}), level=name) for name in seats]
    made = Limits(Stored(schemas, [level(name, 1, queuing) for name, (_, queuing) in seats.items()]), MemoryStorage())
    assert made.flow_of(User("nobody"), PODS) is None
    for name, (count, _) in seats.items():
        made.levels[name].seats = count
    return made


def flow(made: Limits, name: str) -> Flow:
    found = made.flow_of(User(name), PODS)
    assert found is not None
    return found


# -- matching


@pytest.mark.parametrize(
    ("subject", "user", "yes"),
    [
        ({"kind": "User", "user": {"name": "jane"}}, JANE, True),
        ({"kind": "User", "user": {"name": "joe"}}, JANE, False),
        ({"kind": "User", "user": {"name": "*"}}, JANE, True),
        ({"kind": "Group", "group": {"name": "devs"}}, JANE, True),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}},
            service_account_user("a", "b"),
            True,
        ),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "c"}},
            service_account_user("a", "b"),
            False,
        ),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}}, JANE, False),
    ],
)
def test_subjects(subject: Obj, user: User, yes: bool) -> None:
    assert flow_matching.matches(schema("s", rule(subject)), user, PODS) == yes


@pytest.mark.parametrize(
    ("more", "path", "yes"),
    [
        ({"verbs": ["list"]}, "/api/v1/namespaces/shop/pods", True),
        ({"verbs": ["get"]}, "/api/v1/namespaces/shop/pods", False),
        ({"resources": ["pods"]}, "/api/v1/namespaces/shop/pods/p/status", False),
        ({"resources": ["pods/status"]}, "/api/v1/namespaces/shop/pods/p/status", True),
        ({"namespaces": ["other"]}, "/api/v1/namespaces/shop/pods", False),
        ({"clusterScope": False}, "/api/v1/nodes", False),
        ({"namespaces": []}, "/api/v1/nodes", True),
        ({"apiGroups": ["apps"]}, "/api/v1/nodes", False),
        ({}, "/healthz", False),
    ],
)
def test_resource_rules(more: Obj, path: str, yes: bool) -> None:
    assert flow_matching.matches(schema("s", rule(EVERYBODY, **more)), JANE, parse("GET", path, {})) == yes


def test_paths_and_the_order_of_schemas() -> None:
    other = {"subjects": [EVERYBODY], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/x/*"]}]}
    probes = schema("probes", other)
    assert [flow_matching.matches(probes, JANE, parse("GET", path, {})) for path in ("/healthz", "/x/y", "/z")] == [
        True,
        True,
        False,
    ]
    listed = [schema("b"), schema("a"), schema("first", precedence=2)]
    assert [each["metadata"]["name"] for each in flow_matching.ordered(listed)] == ["first", "a", "b"]


@given(st.text(), st.integers(1, 200), st.integers(1, 20))
def test_a_hand_is_different_queues_and_always_the_same(text: str, deck: int, hand: int) -> None:
    dealt = deal(text, deck, hand)
    assert dealt == deal(text, deck, hand)
    assert len(set(dealt)) == len(dealt) == min(deck, hand)
    assert all(0 <= each < deck for each in dealt)


# -- seats


def test_who_finds_no_seat_is_turned_away_or_waits_its_turn() -> None:
    async def scene() -> None:
        made = limits({"low": (1, {"queues": 2, "handSize": 2, "queueLengthLimit": 1}), "rude": (1, None)})
        rude, low = flow(made, "rude"), flow(made, "low")
        assert made.take(rude) is None
        with pytest.raises(TooMany) as caught:
            made.take(rude)
        assert caught.value.reason == "concurrency-limit"
        assert made.take(low) is None
        turns = [made.take(low), made.take(low)]
        with pytest.raises(TooMany) as caught:
            made.take(low)
        assert caught.value.reason == "queue-full"
        first, second = turns
        assert first is not None
        assert second is not None
        waiting = asyncio.create_task(made.wait(low, first))
        made.give(low)
        await waiting
        assert (low.level.executing, low.level.waiting) == (1, 1)
        made.give(low)
        await made.wait(low, second)
        made.give(low)
        assert (low.level.executing, low.level.waiting) == (0, 0)
        text = exposition.text(flows(made)).decode()
        labels = 'flow_schema="low",priority_level="low"'
        prefix = "apiserver_flowcontrol_"
        assert f"{prefix}dispatched_requests_total{{{labels}}} 3\n" in text
        wait = f"{prefix}request_wait_duration_seconds_count"
        assert f'{wait}{{execute="true",{labels}}} 3\n' in text
        assert f'{wait}{{execute="false",{labels}}} 1\n' in text
        assert f'{prefix}rejected_requests_total{{{labels},reason="queue-full"}} 1\n' in text
        assert f"{prefix}current_executing_requests{{{labels}}} 0\n" in text
        assert f"{prefix}current_inqueue_requests{{{labels}}} 0\n" in text

    run_virtual(scene())


def test_nobody_waits_for_ever_and_who_leaves_costs_nothing() -> None:
    async def scene() -> None:
        made = limits({"low": (1, {"queues": 1, "handSize": 1, "queueLengthLimit": 9})})
        low = flow(made, "low")
        assert made.take(low) is None
        turn, other = made.take(low), made.take(low)
        assert turn is not None
        assert other is not None
        leaving = asyncio.create_task(made.wait(low, other))
        await asyncio.sleep(0)
        leaving.cancel()
        started = asyncio.get_running_loop().time()
        with pytest.raises(TooMany, match="Too many requests, please try again later"):
            await made.wait(low, turn)
        assert asyncio.get_running_loop().time() - started == pytest.approx(WAIT_SECONDS)
        assert (low.level.executing, low.level.waiting) == (1, 0)

    run_virtual(scene())


def test_seats_nobody_uses_are_lent() -> None:
    made = limits({"busy": (1, None), "idle": (4, None)})
    made.levels["idle"].lends = 2
    busy, idle = flow(made, "busy"), flow(made, "idle")
    assert [made.take(busy) for _ in range(3)] == [None] * 3
    with pytest.raises(TooMany):
        made.take(busy)
    assert [made.take(idle) for _ in range(4)] == [None] * 4, "its own seats are never lent away for good"
    made.levels["busy"].borrows = 0
    made.give(busy)
    with pytest.raises(TooMany):
        made.take(busy)


# -- through the server


async def test_a_flow_without_seats_is_told_to_come_back() -> None:
    server = await make_server()
    made = {
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}}}
    }
    assert (
        await server.ask("POST", f"{FLOW}/prioritylevelconfigurations", {"metadata": {"name": "low"}, **made})
    ).status == 201
    subject = {"kind": "User", "user": {"name": "jane"}}
    said = await server.ask(
        "POST", f"{FLOW}/flowschemas", schema("janes", rule(subject)) | {"metadata": {"name": "janes"}}
    )
    assert said.status == 201, said.body
    refused = await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert refused.body == "Too many requests, please try again later.\n"
    assert (await server.ask("GET", "/api/v1/namespaces/shop/pods")).status == 200
    assert (await server.ask("DELETE", f"{FLOW}/flowschemas/janes")).status == 200
    assert (await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")).status == 403


async def test_the_flow_of_an_answer_is_named() -> None:
    server = await make_server()
    exempt = {"metadata": {"name": "exempt"}, "spec": {"type": "Exempt"}}
    uid = (await server.ask("POST", f"{FLOW}/prioritylevelconfigurations", exempt)).body["metadata"]["uid"]
    everything = schema("everything", rule(EVERYBODY), level="exempt") | {"metadata": {"name": "everything"}}
    assert (await server.ask("POST", f"{FLOW}/flowschemas", everything)).status == 201
    request = server.request("GET", "/api/v1/namespaces/shop/pods", None, token="secret", content_type="")
    await server.app.handle(request)
    assert request.flow is not None
    assert (request.flow.schema, request.flow.level.uid) == ("everything", uid)
    assert (request.flow.tally.executing, request.flow.tally.at_once) == (0, 1)
