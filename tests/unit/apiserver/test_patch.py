from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.drafts import draft
from wherry.apiserver.merge_patch import merge_patch
from wherry.apiserver.patch import PatchError, json_patch, shape_problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(target, patch) == expected


@given(JSON, JSON)
def test_merge_patch_twice_is_merge_patch_once_and_changes_no_input(target: Any, patch: Any) -> None:
    before = draft(target)
    once = merge_patch(target, patch)
    assert target == before
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": {"b/c": 1}}, [{"op": "replace", "path": "/a/b~1c", "value": 2}], {"a": {"b/c": 2}}),
        ({"a": {"x": 1}}, [{"op": "move", "from": "/a/x", "path": "/b"}], {"a": {}, "b": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a/0", "path": "/a/-"}], {"a": [1, 1]}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/a"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
        ({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": 1}, [{"op": "add", "path": "/b"}], {"a": 1, "b": None}),
        ({"a": 1}, [{"op": "copy", "from": "/x", "path": "/b"}], {"a": 1, "b": None}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
        ({"a": 1}, [{"op": "add", "path": "odd/b", "value": 2}], {"a": 1, "b": 2}),
        ({}, [{"op": "test", "path": "/a", "value": None}, {"op": "test", "path": "", "value": {}}], {}),
        (
            {"a": {"b": 1}},
            [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "remove", "path": "/c/b"}],
            {"a": {"b": 1}, "c": {}},
        ),
    ],
)
def test_json_patch(document: Any, operations: list[Any], expected: Any) -> None:
    before = draft(document)
    assert json_patch(document, operations) == expected
    assert document == before


REFUSED = [
    ({"op": "remove", "path": "/x"}, "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value"),
    ({"op": "remove", "path": "/x/y"}, 'remove operation does not apply: doc is missing path: "/x/y": missing value'),
    ({"op": "remove", "path": "/l/a"}, "error in remove for path: '/l/a': strconv.Atoi: parsing \"a\": invalid syntax"),
    ({"op": "add", "path": "/a/b/c"}, 'add operation does not apply: doc is missing path: "/a/b/c": missing value'),
    ({"op": "add", "path": ""}, 'add operation does not apply: doc is missing path: "": missing value'),
    ({"op": "add", "path": "/l/9"}, (
        "error in add for path: '/l/9': Unable to access invalid index: 9: invalid index referenced")),
    ({"op": "add", "path": "/l/x"}, (
        "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax")),
    ({"op": "add"}, "add operation failed to decode path: missing value"),
    ({"op": "replace", "path": "/l/9"}, "replace operation does not apply: doc is missing key: /l/9: missing value"),
    ({"op": "replace", "path": "/x/y"}, "replace operation does not apply: doc is missing path: /x/y: missing value"),
    ({"op": "replace"}, "replace operation failed to decode path: operation missing path field: missing value"),
    ({"op": "replace", "path": "", "value": 1}, "replace operation value must be object or array"),
    ({"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed"),
    ({"op": "test", "path": "/a", "value": True}, "testing value /a failed: test failed"),
    ({"op": "test", "path": "/x/y"}, "test operation does not apply: is missing path: /x/y: missing value"),
    ({"op": "test", "path": "/l/9"}, (
        "error in test for path: '/l/9': Unable to access invalid index: 9: invalid index referenced")),
    ({"op": "move", "path": "/a"}, "move operation failed to decode from: operation, missing from field: missing value"),
    ({"op": "move", "from": "/x", "path": "/a"},
     "error in move for path: 'x': Unable to remove nonexistent key: x: missing value"),
    ({"op": "copy", "from": "/x/y", "path": "/a"},
     "copy operation does not apply: doc is missing from path: /x/y: missing value"),
    ({"op": "frob", "path": "/a"}, "Unexpected kind: frob"),
    ({"path": "/a"}, "Unexpected kind: unknown"),
    (5, "Unexpected kind: unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "said"), REFUSED)
def test_json_patch_refuses(operation: Any, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"a": 1, "l": [1]}, [operation])
    assert str(caught.value) == said


def test_what_copies_add_is_bounded() -> None:
    with pytest.raises(PatchError, match=r"Unable to complete the copy, the accumulated size increase of copy is \d+"):
        json_patch({"a": "x" * 1024}, [{"op": "copy", "from": "", "path": "/b"}, *[
            {"op": "copy", "from": "/a", "path": f"/{i}"} for i in range(4000)]][1:])  # fmt: skip


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({}, "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (["x"], "json: cannot unmarshal string into Go value of type handlers.jsonPatchOp"),
        ([{"op": 1}], "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"),
        ([None, {"op": "add", "path": "/x", "value": 1}], ""),
        (None, ""),
    ],
)
def test_shape_of_a_patch(patch: Any, said: str) -> None:
    assert shape_problem(patch) == said


@given(JSON, st.lists(st.sampled_from(["add", "replace", "remove", "test", "move", "copy"]), max_size=4), st.data())
def test_a_patch_changes_no_input(document: Any, kinds: list[str], data: st.DataObject) -> None:
    paths = st.lists(st.sampled_from(["", "a", "b", "0", "-", "-1"]), max_size=3).map(
        lambda steps: "/" + "/".join(steps)
    )
    operations = [
        {"op": k, "path": data.draw(paths), "from": data.draw(paths), "value": data.draw(JSON)} for k in kinds
    ]
    before, patch = draft(document), draft(operations)
    try:
        json_patch(document, operations)
    except PatchError:
        pass
    assert (document, operations) == (before, patch)
