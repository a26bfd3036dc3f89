"""What `apply` is given, as a list of objects: an object, several, YAML text, a file, a directory of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from wherry.api import yaml
from wherry.api.types import Obj

Manifest: TypeAlias = Obj | Iterable[Obj] | str | Path


def objects_of(manifest: Manifest) -> list[Obj]:
    """In the order given, Lists taken apart. Raises ValueError (YAMLError) and OSError."""
    if isinstance(manifest, Path) or (isinstance(manifest, str) and _is_path(manifest)):
        path = Path(manifest)
        files = (
            sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml", ".json"))
            if path.is_dir()
            else [path]
        )
        found = [one for file in files for one in yaml.load_all(file.read_text())]
    elif isinstance(manifest, str):
        found = yaml.load_all(manifest)
    else:
        found = [manifest] if isinstance(manifest, dict) else list(manifest)
    return [one for each in found for one in _taken_apart(each)]


def _is_path(text: str) -> bool:
    """A manifest has a colon followed by something that no name of a file has."""
    return "\n" not in text.strip() and ": " not in text and not text.lstrip().startswith("{")


def _taken_apart(found: Any) -> list[Obj]:
    if found is None:
        return []
    if not isinstance(found, dict) or not found.get("kind"):
        raise ValueError(f"not an object with apiVersion and kind: {str(found)[:80]!r}")
    if found["kind"].endswith("List") and isinstance(found.get("items"), list):
        return [one for each in found["items"] for one in _taken_apart(each)]
    return [found]
