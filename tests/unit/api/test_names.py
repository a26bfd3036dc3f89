"""Names are judged by Kubernetes' rules, in its words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wherry.api import names

GOOD: list[tuple[Callable[[str], list[str]], list[str]]] = [
    (names.dns1123_label, ["a", "a-b", "1a", "x" * 63]),
    (names.dns1123_subdomain, ["a.b", "a", "x" * 253, "1.2"]),
    (names.dns1035_label, ["a", "a1"]),
    (names.qualified_name, ["app", "example.com/App_1.x", "A"]),
    (names.label_value, ["", "My_Value.1", "x" * 63]),
    (names.config_map_key, ["a.b", ".hidden", "KEY_1"]),
    (names.env_var_name, ["A", "a.b-c", "has space"]),
    (names.http_header_name, ["X-Header"]),
    (names.c_identifier, ["_a1"]),
    (names.port_name, ["http", "a-1"]),
    (names.path_segment, ["system:node", "a.b"]),
    (names.fully_qualified, ["example.com"]),
]


@pytest.mark.parametrize(("rule", "value"), [(rule, value) for rule, values in GOOD for value in values])
def test_good(rule: Callable[[str], list[str]], value: str) -> None:
    assert rule(value) == []


@pytest.mark.parametrize(
    ("rule", "value", "start"),
    [
        (
            names.dns1123_label,
            "A_b",
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'",
        ),
        (names.dns1123_label, "a" * 64, "must be no more than 63 characters"),
        (names.dns1123_label, "a\n", "a lowercase RFC 1123 label must"),
        (names.dns1123_subdomain, "a..b", "a lowercase RFC 1123 subdomain must consist of"),
        (names.dns1123_subdomain, "é", "a lowercase RFC 1123 subdomain must consist of"),
        (names.dns1035_label, "1a", "a DNS-1035 label must consist of"),
        (names.qualified_name, "a/b/c", "a qualified name must consist of"),
        (names.qualified_name, "/b", "prefix part must be non-empty"),
        (names.qualified_name, "a b/c", "prefix part a lowercase RFC 1123 subdomain must"),
        (names.qualified_name, "a/" + "b" * 64, "name part must be no more than 63 bytes"),
        (names.qualified_name, "p" * 254 + "/k", "prefix part must be no more than 253 bytes"),
        (names.label_value, "a b", "a valid label must be an empty string or consist of"),
        (names.label_value, "v" * 64, "must be no more than 63 bytes"),
        (names.config_map_key, "a/b", "a valid config key must consist of"),
        (names.config_map_key, "..", "must not be '..'"),
        (names.config_map_key, "..a", "must not start with '..'"),
        (names.env_var_name, "a=b", "a valid environment variable name must consist only of printable ASCII"),
        (names.http_header_name, "a b", "a valid HTTP header must consist of alphanumeric characters or '-'"),
        (names.port_name, "a-very-long-port-name", "must be no more than 15 characters"),
        (names.port_name, "1", "must contain at least one letter (a-z)"),
        (names.port_name, "a--b", "must not contain consecutive hyphens"),
        (names.path_segment, "..", "may not be '..'"),
        (names.path_segment, "a/b", "may not contain '/'"),
        (names.fully_qualified, "nodomain", "should be a domain with at least two segments separated by dots"),
    ],
)
def test_bad(rule: Callable[[str], list[str]], value: str, start: str) -> None:
    assert rule(value)[0].startswith(start)


def test_the_whole_message() -> None:
    (message,) = names.dns1123_label("A_b")
    assert message == (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
        " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
        " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


def test_port_numbers() -> None:
    assert names.port_number(80) == []
    assert names.port_number(0) == names.port_number(65536) == ["must be between 1 and 65535, inclusive"]
