"""What a namespace wants, read from its labels pod-security.kubernetes.io/{enforce,audit,warn}[-version]. Pure.

A level that cannot be read enforces the strictest one and warns of nothing, as in Kubernetes; without labels all is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from wherry.api.errors import Cause
from wherry.apiserver.admission.pod_security.standards import LATEST
from wherry.apiserver.registry.validation import field

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,3})")


class Standard(NamedTuple):
    level: str = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        """`restricted:latest`, `baseline:v1.25`."""
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


class Policy(NamedTuple):
    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


def read(labels: Mapping[str, str] | None) -> tuple[Policy, list[Cause]]:
    """The policy, and what is wrong with the labels."""
    labels = labels or {}
    if not any(key.startswith(PREFIX) for key in labels):
        return Policy(), []
    causes: list[Cause] = []
    enforce = _standard(labels, "enforce", "restricted", causes)
    audit = _standard(labels, "audit", "privileged", causes)
    warn = _standard(labels, "warn", "privileged", causes)
    said = labels.get(f"{PREFIX}enforce") in LEVELS and f"{PREFIX}warn" not in labels
    if said and enforce.level != "privileged":
        pinned = f"{PREFIX}warn-version" in labels
        warn = Standard(enforce.level, warn.minor if pinned else enforce.minor)
    return Policy(enforce, audit, warn), causes


def _standard(labels: Mapping[str, str], mode: str, unreadable: str, causes: list[Cause]) -> Standard:
    key = f"{PREFIX}{mode}"
    level = labels.get(key, "privileged")
    if level not in LEVELS:
        causes.append(field.invalid(f"metadata.labels[{key}]", level, f"must be one of {', '.join(LEVELS)}"))
        level = unreadable
    key = f"{PREFIX}{mode}-version"
    version = labels.get(key, "latest")
    if version == "latest":
        return Standard(level)
    found = _VERSION.fullmatch(version)
    if found is None:
        causes.append(field.invalid(f"metadata.labels[{key}]", version, 'must be "latest" or "v1.x"'))
    return Standard(level, int(found[1]) if found is not None else LATEST)
