"""Sets of paths in fieldsV1's own form: the algebra against plain Python sets, and what may be sent as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.apply import field_set as fs
from wherry.apiserver.apply.path_elements import keyed, member, shown_path

ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"'])
PATHS = st.sets(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=12)


def made(paths: set[tuple[str, ...]]) -> fs.FieldSet:
    result = fs.EMPTY
    for path in sorted(paths):
        result = fs.union(result, fs.of_path(path))
    return result


def members(fields: fs.FieldSet) -> set[tuple[str, ...]]:
    return set(fs.paths(fields))


@given(PATHS, PATHS)
def test_the_algebra_of_sets(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> None:
    ours, theirs = made(left), made(right)
    before = json.dumps([ours, theirs])
    assert members(ours) == left
    assert members(fs.union(ours, theirs)) == left | right
    assert members(fs.minus(ours, theirs)) == left - right
    assert members(fs.common(ours, theirs)) == left & right
    below = {path for path in left if not any(path[: len(each)] == each for each in right)}
    assert members(fs.without(ours, theirs)) == below
    assert all(fs.has(ours, path) == (path in left) for path in left | right)
    assert json.dumps([ours, theirs]) == before


@given(PATHS, PATHS)
def test_nothing_to_do_gives_back_the_same_object(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> None:
    ours = made(left)
    assert fs.union(ours, made(left & right)) is ours
    assert fs.minus(ours, made(right - left)) is ours
    assert bool(fs.minus(ours, made(left))) is False


@given(PATHS)
def test_every_set_is_well_formed_and_shared(paths: set[tuple[str, ...]]) -> None:
    fields = made(paths)
    assert fs.is_well_formed(json.loads(json.dumps(fields)))
    assert fs.shared(json.loads(json.dumps(fields))) is fs.shared(fields)


@pytest.mark.parametrize(
    "fields", [[], {"a": {}}, {"f:a": []}, {"k:x": {}}, {"k:{}": {}}, {"i:x": {}}, {"v:": {}}, {"x:1": {}}]
)
def test_what_is_no_set(fields: Any) -> None:
    assert not fs.is_well_formed(fields)


def test_a_set_too_deep_is_none() -> None:
    deep: Any = {}
    for _ in range(fs.DEPTH_MAX + 5):
        deep = {"f:a": deep}
    assert not fs.is_well_formed(deep)


def test_paths_as_people_read_them() -> None:
    port = keyed(("protocol", "port"), ("TCP", 80))
    assert port == 'k:{"port":80,"protocol":"TCP"}'
    assert shown_path(("f:spec", "f:ports", port, "f:name")) == '.spec.ports[port=80,protocol="TCP"].name'
    assert shown_path(("f:metadata", "f:finalizers", member("a.b/c"))) == '.metadata.finalizers[="a.b/c"]'
    assert shown_path(("f:x", "i:3")) == ".x[3]"
    assert keyed(("a",), (1,)) != keyed(("a",), (True,))
