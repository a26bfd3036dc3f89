"""Paths, patterns, formats and cells: what a definition's strings mean."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.extensions import paths
from wherry.apiserver.extensions.formats import FORMATS
from wherry.apiserver.extensions.patterns import PatternError, compile_pattern
from wherry.apiserver.extensions.printing import printer

OBJ: dict[str, Any] = {
    "metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a.b/c": "x"}},
    "spec": {"list": [{"n": "a", "v": 1}, {"n": "b", "v": 2}], "on": True, "ratio": 1.5},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.on", [True]),
        (".spec.list[0].n", ["a"]),
        (".spec.list[-1].n", ["b"]),
        (".spec.list[*].v", [1, 2]),
        (".spec.list[0:1].n", ["a"]),
        ('.spec.list[?(@.n=="b")].v', [2]),
        (".spec.list[?(@.v > 1)].n", ["b"]),
        (".metadata.labels.a\\.b/c", ["x"]),
        (".metadata.labels['a.b/c']", ["x"]),
        (".spec.missing.deep", []),
        (".spec.list[9]", []),
        (".spec[", []),
        (".spec..on", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    assert paths.find_all(OBJ, path) == found


def test_plain_paths_read_and_write() -> None:
    obj: dict[str, Any] = {"spec": {"a": None}}
    paths.put(obj, ".spec.a.b", 3)
    assert obj == {"spec": {"a": {"b": 3}}}
    assert paths.get(obj, ".spec.a.b") == 3
    with pytest.raises(paths.PathError):
        paths.names_of(".spec.list[0]")


@pytest.mark.parametrize(
    ("pattern", "matches", "differs"),
    [
        (r"^[[:alpha:]]+$", "ab", "a1"),
        (r"^a\z", "a", "a\n"),
        (r"^a$", "a", "a\n"),
        (r"\Qa.b\E", "xa.bx", "aXb"),
        (r"^[]x]+$", "]x", "y"),
        (r"^[^]x]+$", "y", "]"),
        (r"^\d+$", "12", "١٢"),
        (r"(?i)^abc$", "ABC", "abd"),
        (r"^(?P<n>a)+$", "aa", "b"),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, matches: str, differs: str) -> None:
    assert compile_pattern(pattern).occurs_in(matches)
    assert not compile_pattern(pattern).occurs_in(differs)
    assert compile_pattern(f"{pattern}|zz(q)+").occurs_in(matches), "as RE2 understands it"
    assert not compile_pattern(f"{pattern}|zz(q)+").occurs_in(differs)


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)*$", r"a*a*a*a*a*b", r"^([a-z0-9]+(-[a-z0-9]+)*)+$"])
def test_no_pattern_lasts(pattern: str) -> None:
    assert not compile_pattern(pattern).occurs_in("a" * 100_000 + "!")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "error parsing regexp: missing closing ): `(`"),
        (")", "error parsing regexp: unexpected ): `)`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"),
        ("*", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("[[:foo:]]", "error parsing regexp: invalid character class range: `[:foo:]`"),
        ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"),
    ],
)
def test_patterns_that_are_none(pattern: str, problem: str) -> None:
    with pytest.raises(PatternError) as raised:
        compile_pattern(pattern)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T10:00:00+01:00", "2026-02-28"),
        ("duration", "1h30m", "soon"),
        ("uri", "https://a.example/x", "a b"),
        ("email", "a@b.example", "a.b"),
        ("hostname", "a.example", "a_b!"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
        ("uuid4", "16fd2706-8baf-433b-82eb-8c7fada847da", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("byte", "YQ==", "Y*"),
        ("hexcolor", "#ff0000", "red"),
        ("rgbcolor", "rgb(1,2,255)", "rgb(1,2,256)"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    assert FORMATS[name](good)
    assert not FORMATS[name](bad)


def test_cells_have_the_type_of_their_column() -> None:
    def column(type: str, path: str) -> dict[str, Any]:
        return {"name": path, "type": type, "jsonPath": path}

    wanted = [
        column("string", ".spec.on"),
        column("integer", ".spec.on"),
        column("integer", ".spec.ratio"),
        column("number", ".spec.ratio"),
        column("boolean", ".spec.on"),
        column("date", ".metadata.creationTimestamp"),
        column("date", ".spec.on"),
        column("string", ".spec.list[0]"),
        column("string", ".spec.none"),
    ]
    made, _ = printer({"additionalPrinterColumns": wanted})
    assert made.cells(OBJ, 1767225700.0) == ["w", "true", None, 1, 1.5, True, "100s", None, '{"n":"a","v":1}', None]
    plain, told = printer({})
    assert ([each.name for each in plain.columns], told) == (["Name", "Age"], {})
