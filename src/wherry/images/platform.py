"""Which variant of an image this machine runs, in the words of the OCI image index (Go's GOOS and GOARCH)."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


def architecture() -> str:
    """This machine's, as images name it; an unknown one under the kernel's own name."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def choose(manifests: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any] | None:
    """The entry of an index for linux on `wanted`; of several (variants) the first, as its maker ordered them."""
    for entry in manifests:
        found = entry.get("platform") or {}
        if found.get("os") == "linux" and found.get("architecture") == wanted:
            return entry
    return None


def named(manifests: Sequence[Mapping[str, Any]]) -> str:
    """What an index has, for people: `linux/amd64, linux/arm/v7`. Attestations (`unknown`) are no platforms."""
    names = []
    for entry in manifests:
        found = entry.get("platform") or {}
        parts = [str(found[key]) for key in ("os", "architecture", "variant") if found.get(key)]
        if parts and "unknown" not in parts:
            names.append("/".join(parts))
    return ", ".join(dict.fromkeys(names)) or "nothing that names a platform"
