"""Field selectors know equality only."""

from __future__ import annotations

import pytest

from wherry.api.fields import FieldSelectorError, Selector


def test_matching() -> None:
    selector = Selector.parse("metadata.name=cart,status.phase!=Running,spec.nodeName=")
    assert selector.names == ("metadata.name", "status.phase", "spec.nodeName")
    assert selector.matches({"metadata.name": "cart", "status.phase": "Pending"})
    assert not selector.matches({"metadata.name": "cart", "status.phase": "Running"})
    assert not selector.matches({"metadata.name": "cart", "spec.nodeName": "n"})
    assert selector.required("metadata.name") == "cart"
    assert selector.required("status.phase") is None
    assert str(selector) == "metadata.name=cart,status.phase!=Running,spec.nodeName="
    assert Selector.parse("").is_empty()
    assert Selector.parse("a==b").matches({"a": "b"})


def test_escapes() -> None:
    selector = Selector.parse(r"a=b\,c\=d\\")
    assert selector.matches({"a": r"b,c=d" + "\\"})
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize("text", ["metadata.name", "metadata.name in (a)"])
def test_no_selector(text: str) -> None:
    with pytest.raises(FieldSelectorError) as caught:
        Selector.parse(text)
    assert str(caught.value) == f"invalid selector: '{text}'; can't understand '{text}'"
