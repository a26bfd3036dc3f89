"""Recorded answers made comparable: what a step says to leave out, to sort and to look at; and when two values are the same.

A recording is a pattern: `<uid>` stands for any uid, `{ns}` for the namespace of this replay. `tests/reference/exchanges/`
has the words; nothing here asks a server.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

WILD = {
    "<uid>": r"[0-9a-f-]{36}", "<rv>": r"[0-9]+", "<time>": r"\d{4}-\d\d-\d\d[T ][-0-9:.TZ+ UC]+", "<gen>": r"[a-z0-9]{5}",
    "<ip>": r"[0-9.]+", "<continue>": r"[\w=-]+", "<token>": r"[\w.-]+", "<dur>": r"\S+", "<port>": r"\d+", "<node>": r"\S*",
    "<server>": r"127\.0\.0\.1:\d+", "<age>": r"(\d+[smhdy])+", "{me}": r"[\w:-]+", "<protobuf>": ".*", "<etag>": ".*",
}  # fmt: skip
_OWNER_KEYS = ("operation", "manager", "subresource", "apiVersion")


def dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
        else:
            value = value.get(part.replace("~1", ".")) if isinstance(value, dict) else None
    return value


def prepared(body: Any, step: Mapping[str, Any]) -> Any:
    """An answer as the recording of its step looked at it."""
    value = copy.deepcopy(body)
    for path in step.get("ignore", ()):
        _drop(value, path.split("."))
    _sort_owners(value)
    for path in step.get("unordered", ()):
        found = dig(value, path) if path else value
        if isinstance(found, list):
            found.sort(key=lambda item: json.dumps(item, sort_keys=True))
    if step.get("view"):
        return {path: _walk(value, path.split(".")) for path in step["view"]}
    return value


def text_of(body: bytes, step: Mapping[str, Any]) -> str:
    """An answer that was recorded as text."""
    lines = body.decode(errors="replace").split("\n")
    if step.get("head"):
        lines = lines[: step["head"]]
    return "\n".join(line for line in lines if re.search(step.get("grep", ""), line))


def _drop(value: Any, parts: list[str]) -> None:
    first, rest = parts[0].replace("~1", "."), parts[1:]
    if isinstance(value, list):
        chosen = value if first == "*" else value[int(first) : int(first) + 1] if first.isdigit() else []
        for item in chosen:
            _drop(item, rest)
    elif isinstance(value, dict):
        for key in list(value) if first == "*" else [first]:
            if key in value and rest:
                _drop(value[key], rest)
            else:
                value.pop(key, None)


def _walk(value: Any, parts: list[str]) -> Any:
    """`*` walks lists and maps, `?key=text` picks the first of a list where that holds."""
    if not parts:
        return value
    first, rest = parts[0].replace("~1", "."), parts[1:]
    if first == "*":
        if isinstance(value, dict):
            return sorted(value) if not rest else [_walk(item, rest) for item in value.values()]
        return [_walk(item, rest) for item in value] if isinstance(value, list) else []
    if first.startswith("?") and isinstance(value, list):
        key, _, wanted = first[1:].partition("=")
        return _walk(next((each for each in value if str(dig(each, key.replace("/", "."))) == wanted), None), rest)
    return _walk(value.get(first), rest) if isinstance(value, dict) else None


def _sort_owners(value: Any) -> None:
    if isinstance(value, dict):
        owners = value.get("managedFields")
        if isinstance(owners, list):
            owners.sort(key=lambda each: [each.get(key, "") for key in _OWNER_KEYS])
        value.pop("selfLink", None)
        for item in value.values():
            _sort_owners(item)
    elif isinstance(value, list):
        for item in value:
            _sort_owners(item)


class Matcher:
    """Compares with the names of one replay."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def same(self, recorded: Any, ours: Any) -> bool:
        return next(self.differences(recorded, ours, ""), None) is None

    def differences(self, recorded: Any, ours: Any, path: str) -> Iterator[str]:
        """Where `ours` is not as recorded, path by path."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            expected = {self._filled(key): value for key, value in recorded.items()}
            for key in expected.keys() | ours.keys():
                at = f"{path}.{key}" if path else key
                if key not in ours:
                    yield f"{at} missing, recorded {str(expected[key])[:200]}"
                elif key not in expected:
                    yield f"{at} is {str(ours[key])[:200]}, recorded without"
                else:
                    yield from self.differences(expected[key], ours[key], at)
        elif isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
            for i, (one, other) in enumerate(zip(recorded, ours, strict=True)):
                yield from self.differences(one, other, f"{path}[{i}]")
        elif isinstance(recorded, str) and isinstance(ours, str | int) and not isinstance(ours, bool):
            if not self._fits(recorded, ours):
                yield f"{path} is {str(ours)[:400]!r}, recorded {recorded[:400]!r}"
        elif recorded != ours or type(recorded) is not type(ours):
            yield f"{path} is {str(ours)[:400]}, recorded {str(recorded)[:400]}"

    def _filled(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _fits(self, recorded: str, ours: str | int) -> bool:
        if isinstance(ours, int):
            return recorded == "<port>"
        pattern = re.escape(recorded)
        for wild, expression in WILD.items():
            pattern = pattern.replace(re.escape(wild), expression)
        for name, value in self._names.items():
            pattern = pattern.replace(re.escape(f"{{{name}}}"), re.escape(value))
        return re.fullmatch(pattern, ours, re.DOTALL) is not None
