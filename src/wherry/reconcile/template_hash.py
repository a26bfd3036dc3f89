"""The short hash that names things after a pod template: a ReplicaSet, a ControllerRevision.

Deterministic: the same data and collision count give the same name after every restart. Not the number real Kubernetes
computes (that one hashes the in-memory form of Go structs); nothing may depend on its value.
"""

from __future__ import annotations

from typing import Any

import msgspec

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""apimachinery's alphabet for generated names: no vowels, so no words."""

_encode = msgspec.json.Encoder(order="sorted").encode


def hash_of(data: Any, collisions: int | None) -> str:
    """FNV-1a (32 bits) of the canonical data and the collision count, in the safe alphabet: 1-10 characters."""
    value = 2166136261
    for byte in _encode(data) + str(collisions or "").encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(_SAFE[int(digit)] for digit in str(value))
