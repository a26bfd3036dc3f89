"""kustomize's patches: a strategic merge patch finds its object by kind and name, a JSON 6902 patch by `target`."""

from __future__ import annotations

import re
from typing import Any

from wherry.api.labels import Selector
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.api.yaml import YAMLError, load_all
from wherry.apiserver.patch import PatchError, json_patch
from wherry.apiserver.strategic import StrategicPatchError, strategic_merge
from wherry.cli.sources.bundle import SourceError


def apply(objects: list[Obj], text: str, target: Obj | None, where: str) -> None:
    """Patch in place; a `$patch: delete` removes the object. Raises SourceError."""
    try:
        documents = [item for item in load_all(text) if item is not None]
    except YAMLError as error:
        raise SourceError(f"{where}: {error}") from None
    for document in documents:
        if isinstance(document, list) or _is_json_patch(documents):
            operations = document if isinstance(document, list) else documents
            _each(objects, target, where, lambda obj, operations=operations: json_patch(obj, operations))
            if not isinstance(document, list):
                return
        elif isinstance(document, dict):
            chosen = target or _own_target(document, where)
            _each(objects, chosen, where, lambda obj, document=document: _strategic(obj, document, bool(target)))
        else:
            raise SourceError(f"{where}: is neither a JSON patch nor an object")


def _is_json_patch(documents: list[Any]) -> bool:
    return all(isinstance(item, dict) and "op" in item and "path" in item for item in documents)


def _own_target(patch: Obj, where: str) -> Obj:
    if not patch.get("kind") or not patch.get("metadata", {}).get("name"):
        raise SourceError(f"{where}: needs kind and metadata.name, or a target")
    group, _, _version = str(patch.get("apiVersion", "")).rpartition("/")
    name = re.escape(patch["metadata"]["name"])
    return {"group": group, "kind": patch["kind"], "name": name}


def _each(objects: list[Obj], target: Obj | None, where: str, change: Any) -> None:
    if not target:
        raise SourceError(f"{where}: a JSON patch needs a target")
    found = [place for place, obj in enumerate(objects) if _selected(obj, target)]
    if not found:
        raise SourceError(f"{where}: no object matches {target.get('kind', '*')} {target.get('name', '*')}")
    for place in reversed(found):
        try:
            changed = change(objects[place])
        except (PatchError, StrategicPatchError) as error:
            raise SourceError(f"{where}: {error}") from None
        if changed is None:
            del objects[place]
        else:
            objects[place] = changed


def _strategic(obj: Obj, patch: Obj, targeted: bool) -> Obj | None:
    if patch.get("$patch") == "delete":
        return None
    scheme = Scheme.load("1.36")
    resource = scheme.by_kind(obj["apiVersion"], obj["kind"])
    if targeted:  # the patch's own name, if any, is only a placeholder
        patch = {**patch, "metadata": {**(patch.get("metadata") or {}), "name": obj["metadata"]["name"]}}
    return strategic_merge(obj, patch, scheme.schema(resource) if resource else None)


def _selected(obj: Obj, target: Obj) -> bool:
    group, _, version = obj["apiVersion"].rpartition("/")
    metadata = obj["metadata"]
    plain = {"group": group, "version": version, "kind": obj["kind"]}
    if any(target.get(key) and target[key] != value for key, value in plain.items()):
        return False
    for key in ("name", "namespace"):
        if target.get(key) and not re.fullmatch(str(target[key]), metadata.get(key, "")):
            return False
    labels, annotations = target.get("labelSelector"), target.get("annotationSelector")
    if labels and not Selector.parse(labels).matches(metadata.get("labels") or {}):
        return False
    return not annotations or Selector.parse(annotations).matches(metadata.get("annotations") or {})
