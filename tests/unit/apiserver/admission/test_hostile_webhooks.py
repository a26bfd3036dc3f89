# ruff: noqa: E501 (lists of examples)
"""Whatever a webhook answers: the object is stored as it may be, or the client is told; never a bug of ours, never half."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from api_core import MAPS, config_map
from hypothesis import given
from hypothesis import strategies as st
from webhook_world import configure, hook, patching, world

from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 700)
    | st.text(max_size=5)
    | st.sampled_from(["v1", "JSONPatch", "W10="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("allowed", "status", "patch", "patchType", "warnings", "auditAnnotations", "uid")
RESPONSES = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANYTHING)) | st.fixed_dictionaries(
    {"allowed": st.booleans(), "status": st.fixed_dictionaries({}, optional=dict.fromkeys(("message", "reason", "code", "details"), ANYTHING))}
)  # fmt: skip
PATHS = st.sampled_from(
    ["", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/labels", "/metadata/finalizers",
     "/metadata/resourceVersion", "/metadata/creationTimestamp", "/data", "/data/a", "/kind", "/apiVersion", "/immutable", "/zz/0"]
)  # fmt: skip
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "test"]), "path": PATHS}, optional={"value": ANYTHING}
)


def ours(body: Any) -> str:
    """What a bug of ours says: the name of a Python exception."""
    message = str(body.get("message", ""))
    return message if "Error: " in message and "failed calling webhook" not in message else ""


@given(kind=st.sampled_from(["Mutating", "Validating"]), response=RESPONSES | ANYTHING)
def test_any_answer(kind: str, response: Any) -> None:
    async def main() -> None:
        server, callee = await world()
        await configure(server, kind, "h", hook("a", "configmaps"))
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}

        def answer(request: Obj) -> bytes:
            said = {"uid": request["uid"], **response} if isinstance(response, dict) else response
            return json.dumps({**review, "response": said}).encode()

        callee.answers["a"] = answer
        said = await server.ask("POST", MAPS, config_map(a="1"))
        assert said.status == 201 or 400 <= said.status < 600
        assert not ours(said.body), said.body
        there = await server.ask("GET", f"{MAPS}/c")
        assert (there.status == 200) == (said.status == 201)

    run_virtual(main())


@given(operations=st.lists(OPERATIONS, min_size=1, max_size=3), update=st.booleans())
def test_any_patch(operations: list[Obj], update: bool) -> None:
    async def main() -> None:
        server, callee = await world()
        if update:
            await server.ask("POST", MAPS, config_map(a="1"))
        await configure(server, "Mutating", "h", hook("a", "configmaps"))
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        callee.answers["a"] = lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": patch}
        body = config_map(a="2")
        said = await (server.ask("PUT", f"{MAPS}/c", body) if update else server.ask("POST", MAPS, body))
        assert not ours(said.body), said.body
        items = (await server.ask("GET", MAPS)).body["items"]
        assert {each["metadata"]["namespace"] for each in items} <= {"shop"}
        if update:
            assert [each["metadata"]["name"] for each in items] == ["c"]
            assert items[0]["metadata"]["uid"]
        elif said.status != 201:
            assert items == []

    run_virtual(main())


@pytest.mark.parametrize("depth", [200, 5000])
async def test_a_patch_that_is_very_deep(depth: int) -> None:
    server, callee = await world()
    await configure(server, "Mutating", "h", hook("a", "configmaps"))
    text = '[{"op":"add","path":"/data/x","value":' + "[" * depth + "]" * depth + "}]"
    patch = base64.b64encode(text.encode()).decode()
    callee.answers["a"] = lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": patch}
    said = await server.ask("POST", MAPS, config_map(a="1"))
    assert said.status == 500
    assert not ours(said.body), said.body


@pytest.mark.parametrize(
    ("path", "value", "update", "status", "text"),
    [
        ("/metadata/namespace", "kube-system", False, 400, "the namespace of the provided object does not match"),
        ("/metadata/namespace", "", False, 201, ""),
        ("/metadata/name", "other", False, 201, ""),
        ("/metadata/name", "other", True, 422, "metadata.name: Invalid value"),
        ("/metadata/uid", "other", True, 422, "metadata.uid: Invalid value"),
        ("/kind", "Secret", False, 500, "the object must stay a ConfigMap of v1"),
    ],
)
async def test_what_a_patch_cannot_move(path: str, value: str, update: bool, status: int, text: str) -> None:
    server, callee = await world()
    if update:
        await server.ask("POST", MAPS, config_map(a="1"))
    await configure(server, "Mutating", "h", hook("a", "configmaps"))
    callee.answers["a"] = patching({"op": "add", "path": path, "value": value})
    said = await (server.ask("PUT", f"{MAPS}/c", config_map()) if update else server.ask("POST", MAPS, config_map()))
    assert said.status == status, said.body
    assert text in said.body.get("message", "")
    assert {each["metadata"]["namespace"] for each in (await server.ask("GET", MAPS)).body["items"]} <= {"shop"}
