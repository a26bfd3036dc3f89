"""Which templates are the same, and the hash that names ReplicaSets."""

from __future__ import annotations

from wherry.controllers.deployment.template import HASH_LABEL, same_template, template_hash, with_hash

TEMPLATE = {
    "metadata": {"labels": {"app": "cart"}},
    "spec": {"containers": [{"name": "main", "image": "shop/cart:v1"}]},
}


def test_the_hash_label_and_nulls_make_no_difference() -> None:
    other = with_hash(TEMPLATE, "abc")
    assert other["metadata"]["labels"] == {"app": "cart", HASH_LABEL: "abc"}
    assert same_template(TEMPLATE, other)
    assert same_template(TEMPLATE, {**TEMPLATE, "metadata": {**TEMPLATE["metadata"], "creationTimestamp": None}})
    assert HASH_LABEL not in TEMPLATE["metadata"]["labels"]


def test_anything_else_does() -> None:
    for change in ({"labels": {"app": "x"}}, {"labels": {"app": "cart"}, "annotations": {"a": "b"}}):
        assert not same_template(TEMPLATE, {**TEMPLATE, "metadata": change})


def test_the_hash_is_stable_and_depends_on_template_and_collisions() -> None:
    value = template_hash(TEMPLATE, None)
    assert value == template_hash(with_hash(TEMPLATE, "old"), None)
    reordered = {"spec": TEMPLATE["spec"], "metadata": TEMPLATE["metadata"]}
    assert value == template_hash(reordered, None)
    assert len({value, template_hash(TEMPLATE, 1), template_hash(TEMPLATE, 2)}) == 3
    assert 1 <= len(value) <= 10
    assert set(value) <= set("bcdfghjklmnpqrstvwxz2456789")
