"""Strategic merge patch, pure: which lists merge, and by which key, comes from the schema.

Directives: `$patch: delete|replace`, `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.
Order of a merged list: elements the patch names in the patch's order, the others where the live list had them relative to
those. Described in Kubernetes' contributor documentation ("Strategic Merge Patch"); error texts as its server gives them.
The inputs are never changed; unchanged parts are shared with `original`.
"""

from __future__ import annotations

from typing import Any

from wherry.api.schema import Schema
from wherry.api.types import Obj

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
SET_ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


class StrategicPatchError(ValueError):
    """A patch whose directives make no sense; the server answers 400, where Kubernetes says 500."""


def go_format(value: Any) -> str:
    """A JSON value as Go's `%v` prints it: `map[image:x name:d]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_format(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def strategic_merge(original: Obj, patch: Obj, schema: Schema | None) -> Obj:
    """`original` with `patch` merged into it by the rules of `schema`. Raises StrategicPatchError."""
    if DIRECTIVE in patch:
        directive = patch[DIRECTIVE]
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != DIRECTIVE}
        if directive == "delete":
            return {}
        raise StrategicPatchError(f"unknown patch type: {go_format(directive)} in map: {go_format(patch)}")
    result = dict(original)
    patch = dict(patch)
    _retain_keys(result, patch)
    _ordered_lists(result, original, patch, schema)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            name = key[len(DELETE_FROM) :]
            if isinstance(result.get(name), list) and isinstance(value, list):
                result[name] = [item for item in result[name] if item not in value]
        elif value is None:
            result.pop(key, None)
        elif key not in result:
            result[key] = _without_directives(value)
        else:
            result[key] = _merge_value(result[key], value, _field(schema, key))
    return result


def _field(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    if schema.fields is not None and key in schema.fields:
        return schema.fields[key]
    return schema.values


def _merge_value(original: Any, patch: Any, schema: Schema | None) -> Any:
    strategy = schema.patch_strategy if schema is not None else ()
    if isinstance(original, dict) and isinstance(patch, dict):
        if "replace" in strategy:
            return _without_directives(patch)
        return strategic_merge(original, patch, schema)
    if isinstance(original, list) and isinstance(patch, list):
        if schema is not None and "merge" in strategy:
            return _merge_list(original, patch, schema)
        return [_without_directives(item) for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    return patch


# -- maps


def _retain_keys(result: Obj, patch: Obj) -> None:
    """`$retainKeys`: whatever the live map has beyond these goes."""
    keys = patch.pop(RETAIN_KEYS, None)
    if keys is None:
        return
    if not isinstance(keys, list):
        raise StrategicPatchError("invalid patch format of retainKeys in the patch")
    unlisted = [key for key in patch if not key.startswith("$") and key not in keys]
    if unlisted:
        raise StrategicPatchError("the keys in patch must be a subset of the retainKeys list")
    for key in [key for key in result if key not in keys]:
        del result[key]


def _without_directives(value: Any) -> Any:
    """A patch value as it is stored where there was nothing: nulls and directives dropped."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return {}
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$")
        }
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and DIRECTIVE in item)]
    return value


# -- lists


def _ordered_lists(result: Obj, original: Obj, patch: Obj, schema: Schema | None) -> None:
    """`$setElementOrder/x`, together with the patch list `x` if there is one; both leave the patch."""
    for directive in [key for key in patch if key.startswith(SET_ORDER)]:
        name, order = directive[len(SET_ORDER) :], patch.pop(directive)
        changes = patch.pop(name, None)
        deletions = patch.pop(DELETE_FROM + name, None)
        field = _field(schema, name)
        key = field.patch_merge_key if field is not None else None
        live = original.get(name)
        if not isinstance(order, list) or (changes is not None and not isinstance(changes, list)):
            raise StrategicPatchError(f"{directive}: expected a list")
        if changes is not None:
            _check_order(changes, order, key)
        if live is None and changes is None:
            continue
        if not isinstance(live, list):
            merged = _without_directives(changes or [])
            live = []
        else:
            merged = live
            if isinstance(deletions, list):
                merged = [item for item in merged if item not in deletions]
            if changes is not None:
                merged = _merge_value(merged, changes, field)
        named = [item for item in merged if _position(order, item, key) >= 0]
        others = [item for item in merged if _position(order, item, key) < 0]
        result[name] = _interleave(others, _sorted_by(named, order, key), live, key)


def _check_order(changes: list[Any], order: list[Any], key: str | None) -> None:
    """The patch list without its deletions must be in the order list's order."""
    kept = [item for item in changes if not (isinstance(item, dict) and item.get(DIRECTIVE) == "delete")]
    positions = [_position(order, item, key) for item in kept]
    if any(position < 0 for position in positions) or positions != sorted(positions):
        raise StrategicPatchError(
            f"The order in patch list:\n{go_format(changes)}\n doesn't match $setElementOrder list:\n{go_format(order)}\n"
        )


def _merge_list(original: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if not original and not patch:
        return original
    if not isinstance((original or patch)[0], dict):
        merged = list(dict.fromkeys([*original, *patch]))
        return _in_order(merged, patch, original, None)
    key = schema.patch_merge_key
    if not key:
        raise StrategicPatchError("cannot merge lists without merge key for this list")
    original, patch, replaced = _special_elements(original, patch, key)
    if replaced:
        return [_without_directives(item) for item in patch]
    merged = list(original)
    for item in patch:
        at = _position(merged, item, key)
        if at < 0:
            merged.append(_without_directives(item))
        else:
            merged[at] = strategic_merge(merged[at], item, schema.items)
    return _in_order(merged, patch, original, key)


def _special_elements(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any], bool]:
    """`$patch` inside list elements: both lists without what they delete, and whether the patch replaces the list."""
    plain: list[Any] = []
    replaced = False
    for item in patch:
        if not isinstance(item, dict):
            raise StrategicPatchError("cannot merge lists of mixed types")
        directive = item.get(DIRECTIVE)
        if directive is None:
            if key not in item:
                raise StrategicPatchError(f"map: {go_format(item)} does not contain declared merge key: {key}")
            plain.append(item)
        elif directive == "delete":
            if key not in item:
                raise StrategicPatchError(f"delete patch type with no merge key defined in map: {go_format(item)}")
            original = [have for have in original if have.get(key) != item[key]]
        elif directive == "replace":
            replaced = True
            if len(item) > 1:
                plain.append({name: value for name, value in item.items() if name != DIRECTIVE})
        elif directive == "merge":
            raise StrategicPatchError("merging lists cannot yet be specified in the patch")
        else:
            raise StrategicPatchError(f"unknown patch type: {go_format(directive)} in map: {go_format(item)}")
    return original, plain, replaced


def _position(items: list[Any], item: Any, key: str | None) -> int:
    """Where `items` has the element that `item` names; -1 if nowhere."""
    if key is None or not isinstance(item, dict):
        return items.index(item) if item in items else -1
    wanted = item.get(key)
    for at, other in enumerate(items):
        if isinstance(other, dict) and other.get(key) == wanted:
            return at
    return -1


def _sorted_by(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    return sorted(items, key=lambda item: _position(order, item, key))


def _in_order(merged: list[Any], patch: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """`merged` with the patch's elements in the patch's order and the rest woven in by the live list's."""
    named = [item for item in merged if _position(patch, item, key) >= 0]
    others = [item for item in merged if _position(patch, item, key) < 0]
    return _interleave(_sorted_by(others, live, key), _sorted_by(named, patch, key), live, key)


def _interleave(left: list[Any], right: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """Both lists keep their own order; a left element goes first only where the live list had it before the right one."""
    result: list[Any] = []
    i = j = 0
    while i < len(left) and j < len(right):
        here, there = _position(live, left[i], key), _position(live, right[j], key)
        if 0 <= here < there:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return result + left[i:] + right[j:]
