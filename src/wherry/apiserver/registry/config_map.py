"""ConfigMaps: keys that are file names, one mebibyte, and `immutable`."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

BYTES_MAX = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"


class ConfigMapStrategy(Strategy):
    checks_metadata_again = True

    def validate(self, obj: Obj) -> list[Cause]:
        data, binary = f.as_dict(obj.get("data")), f.as_dict(obj.get("binaryData"))
        causes: list[Cause] = []
        for key in data:
            causes += f.each_invalid(f"data[{key}]", key, names.config_map_key(key))
            if key in binary:
                causes.append(f.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in binary:
            causes += f.each_invalid(f"binaryData[{key}]", key, names.config_map_key(key))
        size = sum(len(value.encode()) for value in data.values()) + decoded_size(binary.values())
        return causes if size <= BYTES_MAX else [*causes, f.too_long("[]", BYTES_MAX)]

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return frozen(obj, old, ("data", "binaryData"))


def frozen(obj: Obj, old: Obj, keys: tuple[str, ...]) -> list[Cause]:
    """What `immutable: true` forbids; it cannot be taken back."""
    if not old.get("immutable"):
        return []
    causes = [] if obj.get("immutable") else [f.forbidden("immutable", IMMUTABLE)]
    return causes + [f.forbidden(key, IMMUTABLE) for key in keys if (obj.get(key) or None) != (old.get(key) or None)]


def decoded_size(values: Iterable[str]) -> int:
    """Bytes behind base64 texts of the right alphabet and padding."""
    return sum(len(value) // 4 * 3 - value[-2:].count("=") for value in values)
