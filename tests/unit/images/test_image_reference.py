"""Image names by the grammar, and where a machine says they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.images.reference import InvalidReference, Reference
from wherry.images.registries import NoRegistry, Registries, Rule

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cart", ("", "cart", "", "")),
        ("cart:v1", ("", "cart", "v1", "")),
        ("shop/cart:v1", ("", "shop/cart", "v1", "")),
        ("localhost/cart", ("localhost", "cart", "", "")),
        ("localhost:5000/cart", ("localhost:5000", "cart", "", "")),
        ("registry.test/a/b__c/d-e:V_1.2-x", ("registry.test", "a/b__c/d-e", "V_1.2-x", "")),
        ("[::1]:5000/cart:v1", ("[::1]:5000", "cart", "v1", "")),
        (f"cart:v1@{DIGEST}", ("", "cart", "v1", DIGEST)),
        (f"registry.test:443/cart@{DIGEST}", ("registry.test:443", "cart", "", DIGEST)),
    ],
)
def test_parts(text, parts):
    found = Reference.parse(text)
    assert (found.host, found.path, found.tag, found.digest) == parts
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "repository name"),
        ("Cart:v1", "repository name"),
        ("cart:", "not a tag"),
        ("cart:-1", "not a tag"),
        ("cart:" + "x" * 129, "not a tag"),
        ("a//b", "repository name"),
        ("-a", "repository name"),
        ("a/" * 200 + "b", "repository name"),
        ("cart@sha256:12", "64 hexadecimal"),
        ("bad_host.test/cart", "registry host"),
        ("cart v1", "repository name"),
        ("../etc:v1", "registry host"),
    ],
)
def test_errors_name_the_part(text, message):
    with pytest.raises(InvalidReference, match=message):
        Reference.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_reference_that_prints_as_it_was_or_is_refused(text):
    try:
        found = Reference.parse(text)
    except InvalidReference:
        return
    assert str(found) == text


def place(registries: Registries, text: str) -> str:
    return str(registries.place(Reference.parse(text)).reference)


def test_a_host_in_the_name_is_enough():
    assert place(Registries(), "registry.test/cart:v1") == "registry.test/cart:v1"


def test_without_a_host_the_default_is_used_and_without_a_default_the_error_says_how():
    assert place(Registries("registry.test"), "cart:v1") == "registry.test/cart:v1"
    assert place(Registries("registry.test/library"), "cart:v1") == "registry.test/library/cart:v1"
    with pytest.raises(NoRegistry, match="WHERRY_DEFAULT_REGISTRY"):
        place(Registries(), "cart:v1")
    with pytest.raises(InvalidReference, match="registry host"):
        place(Registries("nohost"), "cart:v1")


def test_rules_move_names_the_longest_prefix_first(tmp_path):
    conf = tmp_path / "registries.conf"
    conf.write_text("""
unqualified-search-registries = ["first.test", "second.test"]
[[registry]]
prefix = "first.test"
location = "mirror.test/first"
[[registry]]
prefix = "first.test/team"
location = "team.test:5000"
insecure = true
[[registry]]
location = "blocked.test"
blocked = true
[[registry]]
prefix = "*.plain.test"
insecure = true
""")
    registries = Registries.load({"CONTAINERS_REGISTRIES_CONF": str(conf)})
    assert place(registries, "cart:v1") == "mirror.test/first/cart:v1"
    assert place(registries, "first.test/team/cart:v1") == "team.test:5000/cart:v1"
    assert registries.place(Reference.parse("first.test/team/cart:v1")).insecure
    assert place(registries, "first.test/teams/cart:v1") == "mirror.test/first/teams/cart:v1"
    assert registries.place(Reference.parse("a.plain.test/x:v1")).insecure
    assert not registries.place(Reference.parse("plain.test/x:v1")).insecure
    with pytest.raises(NoRegistry, match="blocked"):
        place(registries, "blocked.test/x:v1")


def test_the_environment_wins_and_a_broken_file_says_nothing(tmp_path):
    conf = tmp_path / "containers" / "registries.conf"
    conf.parent.mkdir()
    conf.write_text("unqualified-search-registries = [")
    found = Registries.load({"XDG_CONFIG_HOME": str(tmp_path), "WHERRY_DEFAULT_REGISTRY": "mine.test"})
    assert found.default == "mine.test"
    assert Registries(rules=(Rule("a.test", "b.test"),)).default == ""
