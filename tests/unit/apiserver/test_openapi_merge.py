"""Joining somebody's OpenAPI 2 document with ours: whatever they say, ours stays as it is and nothing breaks."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.openapi_merge import merge

PREFIX = "/apis/birds/v1"
OURS: dict[str, Any] = {"paths": {"/api/v1/pods": {"get": {}}}, "definitions": {"Pod": {"type": "object"}, "A": {}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from([f"#/definitions/{name}" for name in "ABC"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$ref", "properties", "items", "get"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "paths": st.dictionaries(
            st.sampled_from([f"{PREFIX}/owls", PREFIX, "/apis/birds/v12/x", "/api/v1/pods"]), JSON
        ),
        "definitions": st.dictionaries(st.sampled_from("ABC"), JSON),
    }
)


@given(DOCUMENTS | JSON)
def test_any_document(theirs: Any) -> None:
    ours, before = copy.deepcopy(OURS), copy.deepcopy(theirs)
    merge(ours, theirs, PREFIX)
    assert theirs == before
    assert {path: ours["paths"][path] for path in OURS["paths"]} == OURS["paths"]
    assert {name: ours["definitions"][name] for name in OURS["definitions"]} == OURS["definitions"]
    assert all(path == PREFIX or path.startswith(f"{PREFIX}/") for path in ours["paths"].keys() - OURS["paths"].keys())


def test_definitions_that_refer_to_one_another_and_to_themselves() -> None:
    theirs = {
        "paths": {f"{PREFIX}/owls": {"$ref": "#/definitions/A"}},
        "definitions": {"A": {"items": {"$ref": "#/definitions/B"}}, "B": {"items": {"$ref": "#/definitions/A"}}},
    }
    ours = copy.deepcopy(OURS)
    merge(ours, theirs, PREFIX)
    assert ours["paths"][f"{PREFIX}/owls"] == {"$ref": "#/definitions/A_v2"}
    assert ours["definitions"]["A_v2"] == {"items": {"$ref": "#/definitions/B"}}
    assert ours["definitions"]["B"] == {"items": {"$ref": "#/definitions/A_v2"}}
