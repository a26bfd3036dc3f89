"""What may be a name: labels, subdomains, qualified names, keys, with the messages Kubernetes gives.

Each function answers with a list of messages, empty when the value is valid; they go after `Invalid value: "x": `.
Source: the documented rules and messages of k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import re
from typing import Final

DNS1123_LABEL_MAX: Final = 63
DNS1123_SUBDOMAIN_MAX: Final = 253
QUALIFIED_NAME_MAX: Final = 63
LABEL_VALUE_MAX: Final = 63
PORT_NAME_MAX: Final = 15

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_HEADER: Final = "[-A-Za-z0-9]+"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"

_PATTERNS: Final = {
    text: re.compile(text, re.ASCII)
    for text in (_LABEL, _SUBDOMAIN, _LABEL_1035, _QUALIFIED, _LABEL_VALUE, _CONFIG_KEY, _HEADER, _C_IDENTIFIER)
}
_LABEL_MESSAGE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_MESSAGE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_MESSAGE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_MESSAGE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_MESSAGE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_CONFIG_KEY_MESSAGE: Final = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_HEADER_MESSAGE: Final = "a valid HTTP header must consist of alphanumeric characters or '-'"
_C_IDENTIFIER_MESSAGE: Final = (
    "a valid C identifier must start with alphabetic character or '_', "
    "followed by a string of alphanumeric characters or '_'"
)
_ENV_MESSAGE: Final = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def dns1123_label(value: str) -> list[str]:
    """A Namespace, a container, a hostname."""
    return _too_long(value, DNS1123_LABEL_MAX) + _match(value, _LABEL, _LABEL_MESSAGE, "my-name", "123-abc")


def dns1123_subdomain(value: str) -> list[str]:
    """The name of most objects."""
    return _too_long(value, DNS1123_SUBDOMAIN_MAX) + _match(value, _SUBDOMAIN, _SUBDOMAIN_MESSAGE, "example.com")


def wildcard_subdomain(value: str) -> list[str]:
    """`*.example.com`: the host of an Ingress."""
    message = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
    )
    message += " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    pattern = rf"\*\.{_SUBDOMAIN}"
    fits = value.startswith("*.") and _PATTERNS[_SUBDOMAIN].fullmatch(value[2:])
    return _too_long(value, DNS1123_SUBDOMAIN_MAX) + ([] if fits else [_explain(message, pattern, "*.example.com")])


def dns1035_label(value: str) -> list[str]:
    """The name of a Service."""
    return _too_long(value, DNS1123_LABEL_MAX) + _match(value, _LABEL_1035, _LABEL_1035_MESSAGE, "my-name", "abc-123")


def qualified_name(value: str) -> list[str]:
    """A label key or annotation key: `[prefix/]name`."""
    (prefix, slash, name) = value.rpartition("/")
    if "/" in prefix:
        return [
            "a qualified name " + _explain(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]  # fmt: skip
    found: list[str] = []
    if slash:
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {message}" for message in _subdomain_in_bytes(prefix)]
    if not name:
        found.append("name part must be non-empty")
    elif len(name.encode()) > QUALIFIED_NAME_MAX:
        found.append(f"name part must be no more than {QUALIFIED_NAME_MAX} bytes")
    if not _PATTERNS[_QUALIFIED].fullmatch(name):
        found.append("name part " + _explain(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return found


def label_value(value: str) -> list[str]:
    found = _too_long(value, LABEL_VALUE_MAX, "bytes")
    return found + _match(value, _LABEL_VALUE, _LABEL_VALUE_MESSAGE, "MyValue", "my_value", "12345")


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: also a file name, so `.` and `..` are refused."""
    found = _too_long(value, DNS1123_SUBDOMAIN_MAX)
    found += _match(value, _CONFIG_KEY, _CONFIG_KEY_MESSAGE, "key.name", "KEY_NAME", "key-name")
    if value == ".":
        found.append("must not be '.'")
    elif value == "..":
        found.append("must not be '..'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def env_var_name(value: str) -> list[str]:
    """An environment variable, by the relaxed rule that is the default since 1.32."""
    if not value:
        return ["environment variable name must be non-empty"]
    return [] if all(" " <= letter <= "~" and letter != "=" for letter in value) else [_ENV_MESSAGE]


def http_header_name(value: str) -> list[str]:
    return _match(value, _HEADER, _HEADER_MESSAGE, "X-Header-Name")


def c_identifier(value: str) -> list[str]:
    return _match(value, _C_IDENTIFIER, _C_IDENTIFIER_MESSAGE, "my_name", "MY_NAME", "MyName")


def port_name(value: str) -> list[str]:
    """An IANA service name (RFC 6335): a port's name."""
    found = _too_long(value, PORT_NAME_MAX)
    if not re.fullmatch("[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def path_segment(value: str) -> list[str]:
    """What may stand between two slashes of a path: the names RBAC objects may have."""
    found = [f"may not be '{value}'"] if value in (".", "..") else []
    return found + [f"may not contain '{letter}'" for letter in "/%" if letter in value]


def fully_qualified(value: str) -> list[str]:
    """A subdomain of at least two parts, as in finalizers and signer names."""
    if not value:
        return ["a fully qualified domain name is required"]
    found = dns1123_subdomain(value)
    if not found and len(value.split(".")) < 2:
        found.append("should be a domain with at least two segments separated by dots")
    return found


def _subdomain_in_bytes(value: str) -> list[str]:
    found = _too_long(value, DNS1123_SUBDOMAIN_MAX, "bytes")
    return found + _match(value, _SUBDOMAIN, _SUBDOMAIN_MESSAGE, "example.com")


def _too_long(value: str, limit: int, unit: str = "characters") -> list[str]:
    return [f"must be no more than {limit} {unit}"] if len(value.encode()) > limit else []


def _match(value: str, pattern: str, message: str, *examples: str) -> list[str]:
    return [] if _PATTERNS[pattern].fullmatch(value) else [_explain(message, pattern, *examples)]


def _explain(message: str, pattern: str, *examples: str) -> str:
    """Kubernetes joins its examples with two blanks, and so do we."""
    shown = " or ".join(f"'{example}', " for example in examples)[:-2]
    return f"{message} (e.g. {shown}, regex used for validation is '{pattern}')"
