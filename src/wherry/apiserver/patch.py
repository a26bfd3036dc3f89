"""JSON Patch (RFC 6902) as Kubernetes applies it, pure: a document in, a new document out, inputs untouched.

Unchanged parts are shared with the input. Three things differ from the RFC because clients rely on them: `replace` makes a
field that is not there, negative indexes count from the end, and a copied or added value may be missing, which is null.
Error texts are those API users know from Kubernetes' patch endpoint. A patch is bounded by its operations and by what its
copies add.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from wherry.api import json
from wherry.api.integers import atoi

MAX_OPERATIONS = 10_000
"""Of one patch, as Kubernetes limits it."""
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""What the copies of one patch may add, as Kubernetes limits it: more than any object may have."""
_MISSING = "missing value"

Container: TypeAlias = dict[str, Any] | list[Any]


class PatchError(ValueError):
    """The patch cannot be applied to this document (422)."""


def json_patch(document: Any, operations: list[Any]) -> Any:
    """The patched document; raises PatchError."""
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(too_many(operations))
    patching = _Patching(document)
    for operation in operations:
        patching.apply(operation if isinstance(operation, dict) else {})
    if isinstance(patching.document, dict | list) and json.is_deep_value(patching.document):
        raise PatchError("exceeded max depth")
    return patching.document


def too_many(operations: list[Any]) -> str:
    return f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"


def shape_problem(operations: Any) -> str:
    """What Go's decoder says of a patch that is no list of operations; "" for one that is."""
    if operations is None:
        return ""
    if not isinstance(operations, list):
        return f"json: cannot unmarshal {json.kind_of(operations)} into Go value of type []handlers.jsonPatchOp"
    for operation in operations:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            return f"json: cannot unmarshal {json.kind_of(operation)} into Go value of type handlers.jsonPatchOp"
        for key in ("op", "path", "from"):
            value = operation.get(key)
            if value is not None and not isinstance(value, str):
                kind = json.kind_of(value)
                return f"json: cannot unmarshal {kind} into Go struct field jsonPatchOp.{key} of type string"
    return ""


def unknown_fields(operations: list[Any]) -> list[str]:
    """Paths of what no operation has."""
    return [
        f"[{i}].{key}"
        for i, operation in enumerate(operations)
        if isinstance(operation, dict)
        for key in operation
        if key not in ("op", "path", "from", "value")
    ]


class _Patching:
    """A document while it is being patched: containers on the way to a change are copied once."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._own: set[int] = set()
        self._kept: list[Any] = []  # so that no id is given away twice
        self._copied = 0

    def apply(self, operation: dict[str, Any]) -> None:
        kind = operation.get("op")
        rule = _KINDS.get(kind) if isinstance(kind, str) else None
        if rule is None:
            raise PatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        rule(self, operation)

    # -- operations

    def add(self, operation: dict[str, Any]) -> None:
        path = _said(operation, "path", f"add operation failed to decode path: {_MISSING}")
        place = self._find(path)
        if place is None:
            raise PatchError(f'add operation does not apply: doc is missing path: "{path}": {_MISSING}')
        _add(*place, operation.get("value"), f"error in add for path: '{path}'")

    def remove(self, operation: dict[str, Any]) -> None:
        path = _said(operation, "path", f"remove operation failed to decode path: {_MISSING}")
        place = self._find(path)
        if place is None:
            raise PatchError(f'remove operation does not apply: doc is missing path: "{path}": {_MISSING}')
        _remove(*place, f"error in remove for path: '{path}'")

    def replace(self, operation: dict[str, Any]) -> None:
        path = _said(operation, "path", f"replace operation failed to decode path: {_NO_PATH}")
        value = operation.get("value")
        if path == "":
            if not isinstance(value, dict | list):
                raise PatchError("replace operation value must be object or array")
            self.document = value
            return
        place = self._find(path)
        if place is None:
            raise PatchError(f"replace operation does not apply: doc is missing path: {path}: {_MISSING}")
        container, key = place
        if isinstance(container, dict):
            container[key] = value
            return
        try:
            container[_index(container, key)] = value
        except PatchError:
            raise PatchError(f"replace operation does not apply: doc is missing key: {path}: {_MISSING}") from None

    def move(self, operation: dict[str, Any]) -> None:
        source = _said(operation, "from", f"move operation failed to decode from: {_NO_FROM}")
        place = self._find(source)
        if place is None:
            raise PatchError(f"move operation does not apply: doc is missing from path: {source}: {_MISSING}")
        problem = f"error in move for path: '{place[1]}'"
        value = _get(*place, problem)
        _remove(*place, problem)
        path = _said(operation, "path", f"move operation failed to decode path: {_NO_PATH}")
        place = self._find(path)
        if place is None:
            raise PatchError(f"move operation does not apply: doc is missing destination path: {path}: {_MISSING}")
        _add(*place, value, f"error in move for path: '{path}'")

    def copy(self, operation: dict[str, Any]) -> None:
        source = _said(operation, "from", f"copy operation failed to decode from: {_NO_FROM}")
        place = self._find(source)
        if place is None:
            raise PatchError(f"copy operation does not apply: doc is missing from path: {source}: {_MISSING}")
        value = _get(*place, f"error in copy for from: '{source}'")
        path = _said(operation, "path", f"copy operation failed to decode path: {_MISSING}")
        place = self._find(path)
        if place is None:
            raise PatchError(f"copy operation does not apply: doc is missing destination path: {path}: {_MISSING}")
        if value is not None:
            encoded = json.encode(value)
            self._copied += len(encoded)
            value = json.decode(encoded)  # its own, since what it was copied from may be changed in place
        if self._copied > MAX_COPIED_BYTES:
            raise PatchError(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {MAX_COPIED_BYTES}"
            )
        _add(*place, value, "error while adding value during copy")

    def test(self, operation: dict[str, Any]) -> None:
        path = _said(operation, "path", f"test operation failed to decode path: {_NO_PATH}")
        value = operation.get("value")
        if path == "":
            found = self.document
        else:
            place = self._find(path)
            if place is None:
                raise PatchError(f"test operation does not apply: is missing path: {path}: {_MISSING}")
            found = _get(*place, f"error in test for path: '{path}'")
        if not _same(found, value):
            raise PatchError(f"testing value {path} failed: test failed")

    # -- finding

    def _find(self, path: str) -> tuple[Container, str] | None:
        """The container the path ends in, which may be changed in place, and the last key; None if there is none."""
        steps = path.split("/")
        if len(steps) < 2:
            return None
        container = self._owned(self.document)
        self.document = container
        for step in map(_decoded, steps[1:-1]):
            if container is None:
                return None
            try:
                at: Any = step if isinstance(container, dict) else _index(container, step)
            except PatchError:
                return None
            inner = container.get(at) if isinstance(container, dict) else container[at]
            if not isinstance(inner, dict | list):
                return None
            container[at] = inner = self._owned(inner)
            container = inner
        return None if container is None else (container, _decoded(steps[-1]))

    def _owned(self, container: Any) -> Any:
        if id(container) in self._own or not isinstance(container, dict | list):
            return container
        made = container.copy()
        self._own.add(id(made))
        self._kept.append(made)
        return made


_KINDS = {
    "add": _Patching.add,
    "remove": _Patching.remove,
    "replace": _Patching.replace,
    "move": _Patching.move,
    "copy": _Patching.copy,
    "test": _Patching.test,
}
_NO_PATH = f"operation missing path field: {_MISSING}"
_NO_FROM = f"operation, missing from field: {_MISSING}"


def _said(operation: dict[str, Any], key: str, problem: str) -> str:
    value = operation.get(key)
    if not isinstance(value, str):
        raise PatchError(problem)
    return value


def _decoded(step: str) -> str:
    """RFC 6901."""
    return step.replace("~1", "/").replace("~0", "~")


def _number(step: str) -> int:
    try:
        return atoi(step)
    except ValueError as error:
        raise PatchError(str(error)) from None


def _index(container: list[Any], step: str) -> int:
    """Of an element that is there."""
    number = _number(step)
    if not -len(container) <= number < len(container):
        raise PatchError(f"Unable to access invalid index: {number}: invalid index referenced")
    return number


def _get(container: Container, key: str, problem: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    try:
        return container[_index(container, key)]
    except PatchError as error:
        raise PatchError(f"{problem}: {error}") from None


def _add(container: Container, key: str, value: Any, problem: str) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        try:
            number = _number(key)
        except PatchError as error:
            raise PatchError(f"{problem}: value was not a proper array index: '{key}': {error}") from None
        size = len(container) + 1
        if not -size <= number < size:
            raise PatchError(f"{problem}: Unable to access invalid index: {number}: invalid index referenced")
        container.insert(number if number >= 0 else number + size, value)


def _remove(container: Container, key: str, problem: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise PatchError(f"{problem}: Unable to remove nonexistent key: {key}: {_MISSING}")
        del container[key]
        return
    try:
        del container[_index(container, key)]
    except PatchError as error:
        raise PatchError(f"{problem}: {error}") from None


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON is: true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
