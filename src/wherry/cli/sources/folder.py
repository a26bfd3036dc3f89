"""PATH of `wherry up`: a file, a folder, or `-` for standard input. What a folder holds decides how it is read; plain YAML
is read as kubectl reads `-f`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from wherry.api.types import Obj
from wherry.api.yaml import YAMLError, load_all
from wherry.cli.sources.bundle import Bundle, SourceError

SKAFFOLD = ("skaffold.yaml", "skaffold.yml")
KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
SUFFIXES = (".yaml", ".yml", ".json")


def load(path: Path, profiles: Sequence[str] = ()) -> Bundle:
    """Everything PATH says. Raises SourceError."""
    from wherry.cli.sources import kustomize, skaffold

    if str(path) == "-":
        return Bundle(parse(sys.stdin.read(), "standard input"))
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.is_file():
        if path.name in SKAFFOLD:
            return skaffold.load(path, profiles)
        if path.name in KUSTOMIZATION:
            return Bundle(kustomize.build(path.parent))
        return Bundle(read(path))
    for name in SKAFFOLD:
        if (path / name).is_file():
            return skaffold.load(path / name, profiles)
    if profiles:
        raise SourceError(f"{path}: profiles belong to a skaffold.yaml, and there is none here")
    if any((path / name).is_file() for name in KUSTOMIZATION):
        return Bundle(kustomize.build(path))
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise SourceError(f"{path}: no skaffold.yaml, kustomization.yaml or *.yaml here")
    return Bundle([obj for file in files for obj in read(file)])


def read(file: Path) -> list[Obj]:
    """The objects of one YAML or JSON file. Raises SourceError naming file and document."""
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: {error}") from None
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from None


def parse(text: str, file: str) -> list[Obj]:
    """The objects of YAML or JSON text; a List is taken apart. Raises SourceError."""
    try:
        documents = load_all(text)
    except YAMLError as error:
        raise SourceError(f"{file}: {error}") from None
    objects: list[Obj] = []
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        where = f"{file}, document {number}"
        if not isinstance(document, dict):
            raise SourceError(f"{where}: is a {type(document).__name__}, not a Kubernetes object")
        for key in ("apiVersion", "kind"):
            if not isinstance(document.get(key), str) or not document[key]:
                raise SourceError(f"{where}: {key} not set")
        objects += document.get("items") or [] if document["kind"] == "List" else [document]
    return objects
