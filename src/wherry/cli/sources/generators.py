"""kustomize's configMapGenerator and secretGenerator, with the content hash it appends to names."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from wherry.api.types import Obj
from wherry.cli.sources.bundle import SourceError

FIELDS = {"name", "namespace", "literals", "files", "envs", "env", "options", "type", "behavior"}
_HASH_LETTERS = str.maketrans({"0": "g", "1": "h", "3": "k", "a": "m", "e": "t"})


def generate(kind: str, entry: Obj, folder: Path, defaults: Obj) -> Obj:
    """A ConfigMap or Secret of one generator entry; its metadata.name is still without the hash. Raises SourceError."""
    where = f"{folder / 'kustomization.yaml'}: {kind[0].lower() + kind[1:]}Generator {entry.get('name', '')!r}"
    unknown = set(entry) - FIELDS
    if unknown or entry.get("behavior", "create") not in ("create", "unspecified"):
        raise SourceError(f"{where}: {', '.join(sorted(unknown)) or 'behavior ' + entry['behavior']} is not supported")
    if not entry.get("name"):
        raise SourceError(f"{where}: name is missing")
    data = _data(entry, folder, where)
    options = {**defaults, **(entry.get("options") or {})}
    metadata: Obj = {"name": entry["name"]}
    metadata.update({key: options[key] for key in ("labels", "annotations") if options.get(key)})
    if entry.get("namespace"):
        metadata["namespace"] = entry["namespace"]
    obj: Obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata}
    if options.get("immutable"):
        obj["immutable"] = True
    if kind == "Secret":
        obj["type"] = entry.get("type", "Opaque")
        obj["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
        return obj
    for key, value in data.items():
        try:
            obj.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = base64.b64encode(value).decode()
    return obj


def wants_hash(entry: Obj, defaults: Obj) -> bool:
    return not {**defaults, **(entry.get("options") or {})}.get("disableNameSuffixHash", False)


def content_hash(obj: Obj) -> str:
    """Ten characters of the content's SHA-256, as kustomize computes them: names change when the content does."""
    content: Obj = {"kind": obj["kind"], "name": obj["metadata"]["name"], "data": obj.get("data") or ""}
    if obj["kind"] == "Secret":
        content["type"] = obj["type"]
    if obj.get("binaryData"):
        content["binaryData"] = obj["binaryData"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character, escape in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(character, escape)
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_HASH_LETTERS)


def _data(entry: Obj, folder: Path, where: str) -> dict[str, bytes]:
    data: dict[str, bytes] = {}
    for literal in entry.get("literals") or []:
        key, separator, value = str(literal).partition("=")
        if not separator:
            raise SourceError(f"{where}: literal {literal!r} is not KEY=VALUE")
        data[key] = value.strip("\"'").encode()
    for item in entry.get("files") or []:
        key, separator, name = str(item).partition("=")
        file = folder / (name if separator else key)
        data[key if separator else file.name] = _content(file, where)
    for item in [*(entry.get("envs") or []), *([entry["env"]] if entry.get("env") else [])]:
        for line in _content(folder / item, where).decode().splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, value = line.partition("=")
                data[key.strip()] = value.encode()
    return data


def _content(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SourceError(f"{where}: {file}: {error.strerror}") from None
