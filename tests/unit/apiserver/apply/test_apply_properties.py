"""What must be true of server-side apply whatever is applied, for random Deployments of two managers."""

from __future__ import annotations

from typing import Any

import pytest
from apply_objects import CONFIGURATIONS, VIEW, Obj, apply, bare, fields, shuffled, update
from hypothesis import given

from wherry.api.errors import StatusError
from wherry.apiserver.apply.configuration import fields_of
from wherry.apiserver.apply.field_set import common, minus, paths


def spoken(configuration: Obj) -> Any:
    return fields_of(configuration, VIEW.tracked)


def values(obj: Any, configuration: Any) -> bool:
    """Whether all that was applied is there (elements of lists in any place)."""
    if isinstance(configuration, dict):
        return isinstance(obj, dict) and all(
            key in obj and values(obj[key], item) for key, item in configuration.items()
        )
    if isinstance(configuration, list):
        return all(any(values(each, item) for each in obj) for item in configuration)
    return bool(obj == configuration)


@given(CONFIGURATIONS)
def test_what_is_applied_first_is_what_there_is(configuration: Obj) -> None:
    live = apply(None, configuration, "m")
    assert bare(live) == configuration
    assert fields(live, "m") == spoken(configuration)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_apply_is_idempotent(live: Obj, configuration: Obj) -> None:
    before = update(None, live, "u")
    once = apply(before, configuration, "m", force=True)
    assert apply(once, configuration, "m") == once


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_what_is_applied_is_there_and_owned(first: Obj, second: Obj) -> None:
    live = apply(update(None, first, "u"), second, "m", force=True)
    assert values(bare(live), second)
    assert fields(live, "m") == spoken(second)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_force_takes_what_a_conflict_names(first: Obj, second: Obj) -> None:
    live = apply(None, first, "one")
    forced = apply(live, second, "two", force=True)
    assert values(bare(forced), second)
    lost = minus(fields(live, "one"), fields(forced, "one"))
    if not lost:
        assert bare(apply(live, second, "two")) == bare(forced)
        return
    with pytest.raises(StatusError) as refused:
        apply(live, second, "two")
    assert refused.value.code == 409
    assert refused.value.details is not None
    causes = refused.value.details["causes"]
    assert len(causes) == len(list(paths(lost)))
    assert {cause["message"] for cause in causes} == {'conflict with "one"'}


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_what_is_given_up_goes_unless_somebody_else_has_it(first: Obj, second: Obj) -> None:
    live = apply(apply(None, first, "one"), second, "two", force=True)
    nothing: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    left = apply(live, nothing, "one")
    assert fields(left, "one") == {}
    assert fields(left, "two") == fields(live, "two")
    assert values(bare(left), second)
    gone = minus(fields(live, "one"), fields(live, "two"))
    assert common(spoken(bare(left)), gone) == {}


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_nobody_else_s_fields_are_touched(first: Obj, second: Obj) -> None:
    """Giving up what another writer put there by update leaves it there."""
    live = update(None, first, "u")
    both = apply(live, first, "m")
    assert bare(both) == bare(live)
    nothing: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    assert bare(apply(both, nothing, "m")) == bare(live)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_the_order_of_keys_means_nothing(first: Obj, second: Obj) -> None:
    live = update(None, first, "u")
    assert apply(live, second, "m", force=True) == apply(shuffled(live), shuffled(second), "m", force=True)


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_an_updater_owns_what_it_changed(first: Obj, second: Obj) -> None:
    live = apply(None, first, "m")
    new = update(
        live,
        {**second, "metadata": {**second["metadata"], "managedFields": live["metadata"].get("managedFields")}},
        "u",
    )
    if not live["metadata"].get("managedFields"):
        assert not new["metadata"].get("managedFields"), "nobody counts before the first apply"
        return
    owned = [each["fieldsV1"] for each in new["metadata"].get("managedFields", ())]
    assert common(fields(new, "m"), fields(new, "u")) == {}, "a changed field has one owner"
    for each in owned:
        assert each, "an entry without fields"
    kept = fields(new, "m")
    assert minus(kept, fields(live, "m")) == {}, "nobody gets fields by another's update"
