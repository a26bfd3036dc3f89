"""Expectations recorded from a Kubernetes 1.36 (scenario strategicpatch) and of kubectl's own patches."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.drafts import draft
from wherry.apiserver.strategic import StrategicPatchError, go_format, strategic_merge

SCHEME = Scheme.load()
DEPLOYMENT = SCHEME.schema(SCHEME.resources[GVR("apps", "v1", "deployments")])


def deployment(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "w"}, "spec": {"template": {"spec": spec}}}


def merged(original: dict[str, Any], **spec: Any) -> Any:
    patch = {"spec": {"template": {"spec": spec}}}
    before, sent = draft(original), draft(patch)
    result = strategic_merge(original, patch, DEPLOYMENT)
    assert (original, patch) == (before, sent), "inputs are never changed"
    return result["spec"]["template"]["spec"]


BASE = deployment(
    containers=[
        {"name": "a", "image": "old", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}], "args": ["1"]},
        {"name": "b", "image": "nginx"},
    ]
)


def test_containers_merge_by_name() -> None:
    spec = merged(BASE, containers=[{"name": "a", "image": "new"}])
    assert [(c["name"], c["image"]) for c in spec["containers"]] == [("a", "new"), ("b", "nginx")]
    assert spec["containers"][0]["args"] == ["1"]


def test_delete_and_add_in_one_list() -> None:
    spec = merged(
        BASE, containers=[{"name": "a", "env": [{"name": "X", "$patch": "delete"}, {"name": "Z", "value": "3"}]}]
    )
    assert spec["containers"][0]["env"] == [{"name": "Z", "value": "3"}, {"name": "Y", "value": "2"}]


def test_new_elements_come_first() -> None:
    spec = merged(BASE, containers=[{"name": "c", "image": "i"}])
    assert [c["name"] for c in spec["containers"]] == ["c", "a", "b"]


def test_set_element_order() -> None:
    order = [{"name": "b"}, {"name": "a"}]
    spec = merged(BASE, **{"$setElementOrder/containers": order})
    assert [c["name"] for c in spec["containers"]] == ["b", "a"]


def test_set_element_order_with_changes_as_kubectl_apply_sends_it() -> None:
    order = [{"name": "a"}, {"name": "n"}, {"name": "b"}]
    changes = [{"name": "a", "image": "new"}, {"name": "n", "image": "x"}]
    spec = merged(BASE, **{"$setElementOrder/containers": order, "containers": changes})
    assert [(c["name"], c["image"]) for c in spec["containers"]] == [("a", "new"), ("n", "x"), ("b", "nginx")]


def test_an_element_that_is_not_in_the_order_list() -> None:
    with pytest.raises(
        StrategicPatchError, match=r"The order in patch list:\n\[map\[image:x name:d\]\]\n doesn't match"
    ):
        merged(BASE, **{"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "d", "image": "x"}]})


def test_retain_keys_of_a_volume() -> None:
    base = deployment(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}])
    spec = merged(base, volumes=[{"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "y"}}])
    assert spec["volumes"] == [{"name": "v", "secret": {"secretName": "y"}}, {"name": "w", "emptyDir": {}}]


def test_a_strategy_with_retain_keys() -> None:
    original = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(original, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_replace_a_list() -> None:
    base = deployment(volumes=[{"name": "v", "emptyDir": {}}])
    spec = merged(base, volumes=[{"$patch": "replace"}, {"name": "only", "emptyDir": {}}])
    assert spec["volumes"] == [{"name": "only", "emptyDir": {}}]


def test_atomic_lists_are_replaced() -> None:
    base = deployment(tolerations=[{"key": "t1", "operator": "Exists"}])
    assert merged(base, tolerations=[{"key": "t2"}])["tolerations"] == [{"key": "t2"}]


def test_primitive_lists() -> None:
    original = {"metadata": {"finalizers": ["a/b"]}}
    added = strategic_merge(original, {"metadata": {"finalizers": ["c/d"]}}, DEPLOYMENT)
    assert sorted(added["metadata"]["finalizers"]) == ["a/b", "c/d"]
    removed = strategic_merge(original, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}, DEPLOYMENT)
    assert removed["metadata"]["finalizers"] == []


def test_nulls_remove_and_leave_no_trace() -> None:
    original = {"spec": {"replicas": 3}}
    assert strategic_merge(original, {"spec": {"replicas": None, "paused": None}}, DEPLOYMENT) == {"spec": {}}
    assert strategic_merge({}, {"spec": {"replicas": None}}, DEPLOYMENT) == {"spec": {}}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([{"image": "noname"}], "map: map[image:noname] does not contain declared merge key: name"),
        ([{"name": "a", "$patch": "frob"}], "unknown patch type: frob in map: map[$patch:frob name:a]"),
    ],
)
def test_directives_that_make_no_sense(patch: Any, message: str) -> None:
    with pytest.raises(StrategicPatchError) as caught:
        merged(BASE, containers=patch)
    assert str(caught.value) == message


def test_go_format() -> None:
    assert go_format({"b": [1, None, True], "a": "x"}) == "map[a:x b:[1 <nil> true]]"
