"""Looking at thousands of objects at once finds what looking at each of them finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wherry.api import fields
from wherry.api.label_requirement import Requirement
from wherry.api.labels import Selector
from wherry.api.resources import CONFIG_MAPS, PODS
from wherry.api.scheme import Scheme
from wherry.apiserver.options import ListOptions
from wherry.apiserver.registry.pod import PodStrategy
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.selection import Selection, select
from wherry.storage.interface import Entry

KEYS, VALUES = st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b", ""])
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from(["=", "==", "in", "!="]), st.tuples(VALUES)),
    st.builds(Requirement, KEYS, st.just("in"), st.just(("a", "b"))),
    st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
)
STRATEGY = Strategy(Scheme.load().resources[CONFIG_MAPS])
LABELS = st.one_of(st.none(), st.dictionaries(KEYS, VALUES))


@given(st.lists(REQUIREMENTS, max_size=3), st.lists(LABELS, max_size=8), st.booleans())
def test_many_are_as_each(requirements: list[Requirement], labels: list[dict[str, str] | None], named: bool) -> None:
    terms = (fields.Term("metadata.name", False, "o1"),) if named else ()
    selector, field_selector = Selector(tuple(requirements)), fields.Selector(terms)
    selection = Selection(not requirements and not named, selector, field_selector, STRATEGY)
    entries = []
    for number, each in enumerate(labels):
        metadata = {"name": f"o{number}", "namespace": "d", **({} if each is None else {"labels": each})}
        entries.append(Entry(f"/{number}", {"metadata": metadata}, b"", 1, 1))
    assert selection.among(entries) == [entry for entry in entries if selection.matches(entry.value)]


NODES = st.sampled_from(["n1", "n2", "", None])


@given(
    st.lists(st.tuples(NODES, st.sampled_from(["Running", "Failed"])), max_size=8),
    st.sampled_from(
        ["spec.nodeName=n1", "spec.nodeName=", "spec.nodeName!=n1", "spec.nodeName=n1,status.phase=Running"]
    ),
    st.sampled_from(["", "app=a"]),
)
def test_pods_of_one_node_are_found_as_any_field_is(pods: list[tuple[str | None, str]], wish: str, labels: str) -> None:
    resource = Scheme.load().resources[PODS]
    quick = select(ListOptions(field_selector=wish, label_selector=labels), PodStrategy(resource), resource)
    plain = Selection(False, quick.label_selector, quick.field_selector, quick.strategy)
    assert (quick.node is None) == ("!=" in wish)
    entries = []
    for number, (node, phase) in enumerate(pods):
        metadata = {"name": f"o{number}", "namespace": "d", "labels": {"app": "ab"[number % 2]}}
        spec = {} if node is None else {"nodeName": node}
        entries.append(Entry(f"/{number}", {"metadata": metadata, "spec": spec, "status": {"phase": phase}}, b"", 1, 1))
    wanted = [entry for entry in entries if plain.matches(entry.value)]
    assert quick.among(entries) == wanted == [entry for entry in entries if quick.matches(entry.value)]


def test_which_selectors_ask_for_one_value_each() -> None:
    assert Selector.parse("app=a,tier in (b)").equalities() == (("app", "a"), ("tier", "b"))
    assert Selector.parse("").equalities() == ()
    for text in ("app!=a", "app in (a,b)", "app", "app=a,!tier"):
        assert Selector.parse(text).equalities() is None
    assert Selector.nothing().equalities() is None
