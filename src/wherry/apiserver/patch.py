"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386), pure: documents in, a new document out, inputs untouched.

Unchanged parts are shared with the input. Error texts are those API users know from Kubernetes' patch endpoint.
"""

from __future__ import annotations

from typing import Any

_END = "-"  # RFC 6902: after the last element
MAX_OPERATIONS = 10_000
"""Of one JSON patch, as Kubernetes limits it."""


class PatchError(ValueError):
    """The patch cannot be applied to this document (422)."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = value
    return result


def json_patch(document: Any, operations: list[Any]) -> Any:
    """RFC 6902 with Kubernetes' leniency: removing what is not there fails, `add` makes no parents."""
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: Any) -> Any:
    kind = operation.get("op") if isinstance(operation, dict) else None
    path = operation.get("path") if isinstance(operation, dict) else None
    if not isinstance(kind, str) or not isinstance(path, str):
        raise PatchError("Unexpected kind: unknown")
    tokens = _tokens(path)
    if kind == "add":
        return _edit(document, tokens, path, "add", operation.get("value"))
    if kind == "replace":
        _lookup(document, tokens, path, "replace")
        return _edit(document, tokens, path, "replace", operation.get("value"))
    if kind == "remove":
        return _edit(document, tokens, path, "remove", None)
    if kind == "test":
        if _lookup_or_none(document, tokens) != operation.get("value"):
            raise PatchError(f"testing value {path} failed: test failed")
        return document
    if kind in ("move", "copy"):
        source = operation.get("from")
        if not isinstance(source, str):
            raise PatchError(f"{kind} operation needs a 'from'")
        value = _lookup(document, _tokens(source), source, kind)
        if kind == "move":
            document = _edit(document, _tokens(source), source, "remove", None)
        return _edit(document, tokens, path, "add", value)
    raise PatchError(f"Unexpected kind: {kind}")


def _tokens(path: str) -> list[str]:
    if path == "":
        return []
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _index(token: str, length: int, path: str, kind: str) -> int:
    try:
        index = int(token)
    except ValueError:
        raise PatchError(f"{kind} operation does not apply: doc is missing path: {path}: missing value") from None
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise PatchError(f"{kind} operation does not apply: doc is missing path: {path}: missing value")
    return index


def _lookup(document: Any, tokens: list[str], path: str, kind: str) -> Any:
    for token in tokens:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(token, len(document), path, kind)]
        else:
            raise PatchError(f"{kind} operation does not apply: doc is missing key: {path}: missing value")
    return document


def _lookup_or_none(document: Any, tokens: list[str]) -> Any:
    try:
        return _lookup(document, tokens, "", "test")
    except PatchError:
        return None


def _edit(document: Any, tokens: list[str], path: str, kind: str, value: Any) -> Any:
    """A copy of the document along `tokens` with the last step added, replaced or removed."""
    if not tokens:
        return None if kind == "remove" else value
    token, rest = tokens[0], tokens[1:]
    if isinstance(document, dict):
        return _edit_map(document, token, rest, path, kind, value)
    if isinstance(document, list):
        return _edit_list(document, token, rest, path, kind, value)
    raise PatchError(f"{kind} operation does not apply: doc is missing path: {path}: missing value")


def _edit_map(document: dict[str, Any], token: str, rest: list[str], path: str, kind: str, value: Any) -> Any:
    if rest:
        if token not in document:
            raise PatchError(f"{kind} operation does not apply: doc is missing path: {path}: missing value")
        return {**document, token: _edit(document[token], rest, path, kind, value)}
    if kind == "remove":
        if token not in document:
            raise PatchError(f"remove operation does not apply: doc is missing key: {path}: missing value")
        return {key: item for key, item in document.items() if key != token}
    return {**document, token: value}


def _edit_list(document: list[Any], token: str, rest: list[str], path: str, kind: str, value: Any) -> Any:
    copy = list(document)
    if not rest and kind == "add":
        if token == _END:
            return [*copy, value]
        copy.insert(_index(token, len(copy) + 1, path, kind), value)
        return copy
    index = _index(token, len(copy), path, kind)
    if rest:
        copy[index] = _edit(copy[index], rest, path, kind, value)
    elif kind == "remove":
        del copy[index]
    else:
        copy[index] = value
    return copy
