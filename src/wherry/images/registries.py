"""Which registries this machine uses: the machine's own setting, never ours.

`$WHERRY_DEFAULT_REGISTRY` (a host, or host/path) says where names without a host are looked for; else the first
`unqualified-search-registries` of containers' registries.conf. Of its `[[registry]]` tables `prefix`, `location`,
`insecure` (HTTP) and `blocked` count, so that one name may stand for another place. Source: containers-registries.conf(5).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from wherry.images.reference import InvalidReference, Reference

SYSTEM_CONF = Path("/etc/containers/registries.conf")


class NoRegistry(Exception):
    """Neither the name nor this machine says where the image is, or the machine forbids it; the text says what to do."""


class Rule(Struct, frozen=True):
    """Names that begin with `prefix` are at `location`."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False


class Place(Struct, frozen=True):
    """Where to ask for an image."""

    reference: Reference
    insecure: bool = False


class Registries(Struct, frozen=True):
    """One machine's setting."""

    default: str = ""
    rules: tuple[Rule, ...] = field(default=())

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> Registries:
        """Of the first registries.conf there is; one that cannot be read says nothing."""
        configuration = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
        named = environment.get("CONTAINERS_REGISTRIES_CONF")
        user = configuration / "containers" / "registries.conf"
        conf: dict[str, Any] = {}
        for file in [Path(named)] if named else [user, SYSTEM_CONF]:
            try:
                conf = tomllib.loads(file.read_text())
                break
            except (OSError, ValueError):
                continue
        search = conf.get("unqualified-search-registries") or [""]
        rules = [_rule(table) for table in conf.get("registry") or [] if isinstance(table, dict)]
        longest_first = sorted(rules, key=lambda rule: len(rule.prefix), reverse=True)
        return cls(environment.get("WHERRY_DEFAULT_REGISTRY") or str(search[0]), tuple(longest_first))

    def place(self, reference: Reference) -> Place:
        """Raises NoRegistry, InvalidReference."""
        if not reference.host:
            if not self.default:
                raise NoRegistry(
                    "it is not in the local store and its name has no registry host. Build it (`wherry build`), load it "
                    "(`wherry image load`), write the host into its name, or name a default registry in "
                    f"$WHERRY_DEFAULT_REGISTRY or {SYSTEM_CONF} (unqualified-search-registries)"
                )
            reference = _at(f"{self.default}/{reference.path}", reference)
        name = reference.repository
        for rule in self.rules:
            if not _begins(name, rule.prefix):
                continue
            if rule.blocked:
                raise NoRegistry(f"{rule.prefix} is blocked by this machine's registries.conf")
            if rule.prefix.startswith("*."):
                return Place(reference, rule.insecure)
            return Place(_at(rule.location + name[len(rule.prefix) :], reference), rule.insecure)
        return Place(reference)


def _rule(table: Mapping[str, Any]) -> Rule:
    location = str(table.get("location") or table.get("prefix") or "")
    prefix = str(table.get("prefix") or location)
    return Rule(prefix, location, bool(table.get("insecure")), bool(table.get("blocked")))


def _begins(name: str, prefix: str) -> bool:
    """By whole parts; `*.example.com` is any host below."""
    if prefix.startswith("*."):
        return name.partition("/")[0].endswith(prefix[1:])
    return name == prefix or name.startswith(f"{prefix}/")


def _at(name: str, reference: Reference) -> Reference:
    found = Reference.parse(name)
    if not found.host:
        raise InvalidReference(f"{name!r}: {name.partition('/')[0]!r} is not a registry host")
    return Reference(found.host, found.path, reference.tag, reference.digest)
