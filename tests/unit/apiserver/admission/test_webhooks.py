# ruff: noqa: E501 (a text of Kubernetes reads better on one line)
"""Webhooks that are asked: what they see, what becomes of their answers, in which order, and what their silence means."""

from __future__ import annotations

from typing import Any

import pytest
from api_core import MAPS, config_map
from webhook_world import GROUP, Callee, allow, configure, hook, patching, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.apiserver.outward import Reply

LABEL = {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}
MERGE = "application/merge-patch+json"


async def test_what_a_webhook_is_asked() -> None:
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "configmaps"))
    callee.answers["a"] = allow
    said = await server.ask("POST", f"{MAPS}?dryRun=All&fieldManager=me", config_map(x="1"))
    assert said.status == 201
    request = callee.asked[0][1]
    assert len(request.pop("uid")) == 36
    shown = request.pop("object")
    assert (shown["metadata"]["name"], shown["data"]) == ("c", {"x": "1"})
    assert shown["metadata"]["uid"] == said.body["metadata"]["uid"]
    kind, resource = {"group": "", "version": "v1", "kind": "ConfigMap"}, {"group": "", "version": "v1", "resource": "configmaps"}  # fmt: skip
    assert request == {
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource, "name": "c",
        "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "admin", "groups": request["userInfo"]["groups"]},
        "oldObject": None, "dryRun": True,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"},
    }  # fmt: skip


async def test_a_mutating_webhook_sees_the_object_before_the_server_named_it_and_its_patch_is_stored() -> None:
    server, callee = await world()
    await configure(server, "Mutating", "m", hook("a", "configmaps"))
    await configure(server, "Validating", "v", hook("b", "configmaps"))
    callee.answers |= {"a": patching(LABEL), "b": allow}
    said = await server.ask("POST", MAPS, {"metadata": {"generateName": "g-"}})
    assert said.status == 201
    assert said.body["metadata"]["labels"] == {"seen": "yes"}
    (first, before), (second, after) = callee.asked
    assert (first, second) == ("a", "b")
    assert "name" not in before
    assert "uid" not in before["object"]["metadata"]
    assert after["name"] == said.body["metadata"]["name"]
    assert after["object"]["metadata"]["labels"] == {"seen": "yes"}


async def test_updates_show_both_and_deletes_only_the_old_one() -> None:
    server, callee = await world()
    await server.ask("POST", MAPS, config_map(a="1"))
    await configure(server, "Validating", "v", hook("a", "configmaps"))
    callee.answers["a"] = allow
    await server.ask("PATCH", f"{MAPS}/c", {"data": {"a": "2"}}, content_type=MERGE)
    await server.ask("DELETE", f"{MAPS}/c", {"gracePeriodSeconds": 3})
    (_, update), (_, delete) = callee.asked
    assert (update["object"]["data"], update["oldObject"]["data"]) == ({"a": "2"}, {"a": "1"})
    assert update["options"]["kind"] == "UpdateOptions"
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})
    assert delete["options"]["kind"] == "DeleteOptions"
    assert delete["options"]["gracePeriodSeconds"] == 3


DENIED = 'admission webhook "a.example.com" denied the request'


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        (None, 400, "", f"{DENIED} without explanation"),
        ({"message": "too big", "code": 200}, 400, "", f"{DENIED}: too big"),
        ({"reason": "Conflict", "code": 409}, 409, "Conflict", f"{DENIED}: Conflict"),
        ({"reason": "Forbidden", "message": "no", "code": 403}, 403, "Forbidden", f"{DENIED}: no"),
    ],
)
async def test_a_refusal_in_the_webhooks_words(status: Obj | None, code: int, reason: str, message: str) -> None:
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "configmaps"))
    callee.answers["a"] = lambda _: {"allowed": False, **({"status": status} if status else {})}
    said = await server.ask("POST", MAPS, config_map())
    assert (said.status, said.body.get("reason", ""), said.message) == (code, reason, message)
    assert (await server.ask("GET", f"{MAPS}/c")).status == 404


CALL = 'failed calling webhook "a.example.com": '
POST = 'failed to call webhook: Post "https://hooks/a?timeout=10s": '


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OSError("dial tcp 127.0.0.1:1: connect: connection refused"), f"{POST}dial tcp 127.0.0.1:1: connect: connection refused"),
        (Reply(404, {}, b"not here"), "failed to call webhook: the server could not find the requested resource"),
        (Reply(500, {}, b"boom"), 'failed to call webhook: an error on the server ("boom") has prevented the request from succeeding'),
        (b"{}", "received invalid webhook response: webhook response was absent"),
        ({"uid": "other", "allowed": True}, 'received invalid webhook response: expected response.uid="U", got "other"'),
        ({"allowed": True, "patch": "W10="}, "received invalid webhook response: validating webhook may not return response.patch"),
    ],
)  # fmt: skip
async def test_no_answer_fails_closed_or_open_as_the_policy_says(answer: Any, message: str) -> None:
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "configmaps"))
    callee.answers["a"] = lambda _: answer
    said = await server.ask("POST", MAPS, config_map())
    message = message.replace('"U"', f'"{callee.asked[0][1]["uid"]}"')
    assert (said.status, said.message) == (500, f"Internal error occurred: {CALL}{message}")
    ignoring = {"webhooks": [hook("a", "configmaps", failurePolicy="Ignore")]}
    await server.ask("PATCH", f"{GROUP}/validatingwebhookconfigurations/v", ignoring, content_type=MERGE)
    assert (await server.ask("POST", MAPS, config_map())).status == 201


async def test_answers_of_mutating_webhooks_that_make_no_sense() -> None:
    server, callee = await world()
    await configure(server, "Mutating", "m", hook("a", "configmaps"))
    callee.answers["a"] = lambda _: {"allowed": True, "patch": "W10="}
    said = await server.ask("POST", MAPS, config_map())
    assert said.message.endswith("webhook returned response.patch but not response.patchType")
    callee.answers["a"] = patching({"op": "remove", "path": "/metadata/labels/x"})
    said = await server.ask("POST", MAPS, config_map())
    assert (said.status, said.body["reason"]) == (500, "InternalError")
    callee.answers["a"] = patching({"op": "replace", "path": "/data", "value": 7})
    assert (await server.ask("POST", MAPS, config_map())).status == 500


async def test_a_patch_of_what_is_deleted_is_an_error() -> None:
    server, callee = await world()
    await server.ask("POST", MAPS, config_map())
    await configure(server, "Mutating", "m", hook("a", "configmaps", operations=("DELETE",)))
    callee.answers["a"] = patching(LABEL)
    said = await server.ask("DELETE", f"{MAPS}/c")
    assert said.message.endswith("attempted to modify the object, which is not supported for this operation")


def test_a_webhook_that_takes_too_long() -> None:
    async def main() -> None:
        server, callee = await world()
        await configure(server, "Validating", "v", hook("a", "configmaps", timeoutSeconds=2))
        callee.answers["a"] = allow
        callee.delays["a"] = 3
        said = await server.ask("POST", MAPS, config_map())
        assert said.message.endswith('Post "https://hooks/a?timeout=2s": context deadline exceeded')

    run_virtual(main())


def test_validating_webhooks_are_asked_at_the_same_time_and_the_first_listed_wins() -> None:
    async def main() -> float:
        server, callee = await world()
        await configure(server, "Validating", "v", hook("a", "configmaps"), hook("b", "configmaps"))
        callee.answers |= {name: lambda _: {"allowed": False, "warnings": ["w"]} for name in "ab"}
        callee.delays |= {"a": 2.0, "b": 1.0}
        started = server.app.clock.monotonic()
        said = await server.ask("POST", MAPS, config_map())
        assert said.message.startswith('admission webhook "a.example.com"')
        assert said.warnings == ["w"]
        return server.app.clock.monotonic() - started

    assert run_virtual(main()) == pytest.approx(2.0)


async def test_reinvocation() -> None:
    """a and c want to be asked again, b does not; c changes last, so only a is asked once more."""
    server, callee = await world()
    await configure(
        server, "Mutating", "m",
        hook("a", "configmaps", reinvocationPolicy="IfNeeded"), hook("b", "configmaps"),
        hook("c", "configmaps", reinvocationPolicy="IfNeeded"),
    )  # fmt: skip
    callee.answers |= {"a": allow, "b": allow, "c": patching(LABEL)}
    assert (await server.ask("POST", MAPS, config_map())).status == 201
    assert callee.names() == ["a", "b", "c", "a"]
    assert callee.asked[-1][1]["object"]["metadata"]["labels"] == {"seen": "yes"}


async def test_configurations_are_asked_by_name_and_followed_when_they_change() -> None:
    server, callee = await world()
    await configure(server, "Mutating", "zz", hook("a", "configmaps"))
    await configure(server, "Mutating", "aa", hook("b", "configmaps"))
    callee.answers |= {"a": allow, "b": allow}
    await server.ask("POST", MAPS, config_map())
    assert callee.names() == ["b", "a"]
    await server.ask("DELETE", f"{GROUP}/mutatingwebhookconfigurations/aa")
    await server.ask("DELETE", f"{MAPS}/c")
    assert callee.names() == ["b", "a", "a"]


async def test_a_webhook_cannot_lock_out_those_who_would_remove_it() -> None:
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "*/*"))
    callee.answers["a"] = lambda _: {"allowed": False}
    assert (await server.ask("POST", MAPS, config_map())).status == 400
    assert (await server.ask("DELETE", f"{GROUP}/validatingwebhookconfigurations/v")).status == 200
    assert callee.names() == ["a"]


async def test_warnings_and_old_reviews() -> None:
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "configmaps", admissionReviewVersions=["v1beta1"]))
    callee.answers["a"] = lambda _: {"allowed": True, "warnings": ["careful"], "uid": "whatever"}
    said = await server.ask("POST", MAPS, config_map())
    assert (said.status, said.warnings) == (201, ["careful"])


async def test_a_webhook_may_write_the_object_it_is_asked_about() -> None:
    """The write that is being judged takes no turn; it loses its race and is judged again."""
    server, _callee = await world()
    await server.ask("POST", MAPS, config_map(a="1"))
    await configure(server, "Validating", "v", hook("a", "configmaps", operations=("UPDATE",)))

    class Writing(Callee):
        async def request(self, *said: Any) -> Reply:
            if not self.asked:
                self.asked.append(("", {}))
                other = await server.ask("PATCH", f"{MAPS}/c", {"data": {"b": "2"}}, content_type=MERGE)
                assert other.status == 200, other.body
            return await super().request(*said)

    writing = server.app.core.outward = Writing()
    writing.answers["a"] = allow
    said = await server.ask("PATCH", f"{MAPS}/c", {"data": {"a": "3"}}, content_type=MERGE)
    assert said.body["data"] == {"a": "3", "b": "2"}


async def test_only_writes_somebody_is_asked_about_lose_their_turn() -> None:
    server, _ = await world()
    await configure(server, "Mutating", "m", hook("a", "pods", operations=("CREATE",)))
    core = server.app.core
    pods = core.scheme.resources[PODS]
    asked = [
        (operation, part)
        for operation in ("CREATE", "UPDATE", "DELETE")
        for part in ("", "status")
        if core.admission.asks_others(core, pods, part, operation)
    ]
    assert asked == [("CREATE", "")]


async def test_a_container_that_a_webhook_adds_gets_the_token_too() -> None:
    server, callee = await world()
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    await configure(server, "Mutating", "m", hook("a", "pods"))
    side = {"name": "side", "image": "proxy:1"}
    callee.answers["a"] = patching({"op": "add", "path": "/spec/containers/-", "value": side})
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = (await server.ask("POST", "/api/v1/namespaces/shop/pods", body)).body["spec"]
    (volume,) = [each["name"] for each in spec["volumes"]]
    assert [[mount["name"] for mount in each["volumeMounts"]] for each in spec["containers"]] == [[volume], [volume]]
    assert [each["imagePullPolicy"] for each in spec["containers"]] == ["IfNotPresent", "IfNotPresent"]


async def test_what_webhooks_answered_is_counted() -> None:
    server, callee = await world()
    await configure(server, "Mutating", "m", hook("a", "configmaps"), hook("o", "configmaps", failurePolicy="Ignore"))
    await configure(server, "Validating", "v", hook("b", "configmaps"))
    callee.answers |= {
        "a": patching(LABEL),
        "o": lambda request: OSError("down"),
        "b": lambda request: {"allowed": False, "status": {"code": 403}},
    }
    assert (await server.ask("POST", MAPS, config_map())).status == 403
    callee.answers["a"] = callee.answers["o"]
    assert (await server.ask("POST", MAPS, config_map())).status == 500
    text = (await server.ask("GET", "/metrics")).body
    prefix = "apiserver_admission_webhook_"
    for line in (
        'admission_duration_seconds_count{name="a.example.com",operation="CREATE",rejected="false",type="admit"} 1',
        'admission_duration_seconds_count{name="a.example.com",operation="CREATE",rejected="true",type="admit"} 1',
        'request_total{code="403",name="b.example.com",operation="CREATE",rejected="true",type="validating"} 1',
        'rejection_count{error_type="no_error",name="b.example.com",operation="CREATE",rejection_code="403",type="validating"} 1',
        'rejection_count{error_type="calling_webhook_error",name="a.example.com",operation="CREATE",rejection_code="0",type="admit"} 1',
        'fail_open_count{name="o.example.com",type="admit"} 1',
    ):
        assert f"\n{prefix}{line}\n" in text, line
