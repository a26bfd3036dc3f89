"""Strategic merge patch against its documented rules, written down once more and as simply as they go.

Maps merge key by key and null removes; lists of objects merge by their key, an element is removed by `$patch: delete` and
the whole list given anew by `$patch: replace`; lists of words that merge are united; all other lists are replaced.
"""

from __future__ import annotations

from typing import Any

from apply_objects import ENV, LABELS, SCHEMA, WORDS
from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.drafts import draft
from wherry.apiserver.strategic import strategic_merge

Obj = dict[str, Any]
KEYS = {"containers": "name", "env": "name", "ports": "containerPort"}
UNITED = {"finalizers"}
REMOVED, ANEW = {"$patch": "delete"}, {"$patch": "replace"}


def by(key: str) -> Any:
    return lambda each: each[key]


def objects(key: str, values: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Obj]]:
    one = st.fixed_dictionaries({key: values}, optional=fields)
    return st.lists(one, max_size=3, unique_by=by(key))


def orders(key: str, values: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Obj]]:
    """Elements as a patch has them: some remove, and now and then there is one that asks for the list anew."""
    kept = st.fixed_dictionaries({key: values}, optional=fields)
    gone = st.fixed_dictionaries({key: values}).map(lambda each: {**each, **REMOVED})
    some = st.lists(kept | gone, max_size=3, unique_by=by(key))
    anew = st.lists(kept, max_size=2, unique_by=by(key)).map(lambda each: [ANEW, *each])
    return some | some | anew


NUMBERS = st.sampled_from([80, 81])
PORTS, LISTS = objects("containerPort", NUMBERS, name=WORDS), st.lists(WORDS, max_size=2)
CONTAINERS = objects("name", WORDS, image=WORDS, args=LISTS, env=ENV, ports=PORTS)
NULLED = st.dictionaries(WORDS, WORDS | st.none(), max_size=3)
ENV_ORDERS = orders("name", WORDS, value=WORDS | st.none())
PORT_ORDERS = orders("containerPort", NUMBERS, name=WORDS)
ORDERS = orders("name", WORDS, image=WORDS | st.none(), args=LISTS | st.none(), env=ENV_ORDERS, ports=PORT_ORDERS)
FINALIZERS = st.lists(WORDS, max_size=3, unique=True)


def deployment(labels: Any, finalizers: Any, containers: Any, selectors: Any) -> Obj:
    inner = {"containers": containers, "nodeSelector": selectors}
    return {"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"template": {"spec": inner}}}


DEPLOYMENTS = st.builds(deployment, LABELS, FINALIZERS, CONTAINERS, LABELS)
PATCHES = st.builds(deployment, NULLED | st.none(), FINALIZERS, ORDERS, NULLED)
MILD = st.builds(deployment, NULLED, FINALIZERS, CONTAINERS, NULLED)


def documented(original: Any, patch: Any, name: str = "") -> Any:
    if isinstance(patch, dict):
        result = dict(original) if isinstance(original, dict) else {}
        for key, value in patch.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = documented(result.get(key), value, key)
        return result
    if name in UNITED:
        return [*(original or []), *(each for each in patch if each not in (original or []))]
    if name not in KEYS:
        return patch
    key = KEYS[name]
    elements = {} if ANEW in patch else {each[key]: each for each in original or []}
    for each in patch:
        if each == ANEW:
            continue
        if each.get("$patch") == "delete":
            elements.pop(each[key], None)
        else:
            elements[each[key]] = documented(elements.get(each[key]), each)
    return list(elements.values())


def settled(value: Any, name: str = "") -> Any:
    """What is left when order means nothing in lists that merge, and nothing is the same as an empty list or map."""
    if isinstance(value, dict):
        return {key: below for key, item in value.items() if (below := settled(item, key)) not in ([], {}, None)}
    if isinstance(value, list):
        items = [settled(each) for each in value]
        return sorted(items, key=by(KEYS[name])) if name in KEYS else sorted(items) if name in UNITED else items
    return value


@given(DEPLOYMENTS, PATCHES)
def test_it_merges_as_documented(original: Obj, patch: Obj) -> None:
    before, sent = draft(original), draft(patch)
    assert settled(strategic_merge(original, patch, SCHEMA)) == settled(documented(before, sent))
    assert (original, patch) == (before, sent)


@given(DEPLOYMENTS, MILD)
def test_the_same_patch_again_changes_nothing(original: Obj, patch: Obj) -> None:
    once = strategic_merge(original, patch, SCHEMA)
    assert strategic_merge(once, patch, SCHEMA) == once


@given(DEPLOYMENTS)
def test_an_empty_patch_changes_nothing(original: Obj) -> None:
    assert strategic_merge(original, {}, SCHEMA) == original
