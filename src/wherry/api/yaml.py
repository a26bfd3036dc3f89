"""YAML by the rules Kubernetes reads it: YAML 1.1 as libyaml parses it, scalars as Go's yaml.v2 resolves them.

So `no`, `on` and `y` are booleans, `0644` is 420, `1e3` is 1000, dates stay strings, `<<` merges, and keys become
strings. A key that comes twice is an error, or collected for callers that only want to warn. The result is JSON data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_PREFIX: Final = "tag:yaml.org,2002:"
_STRING: Final = _PREFIX + "str"
_PLAIN: Final = _PREFIX + "plain"  # our own mark: what it is, the text decides
_WIDTH: Final = 80  # where long plain texts are folded
_MERGE: Final = "<<"
# A document may grow by aliases, but not explode: the bound is far beyond any manifest and small enough to hold.
_NODES_MAX: Final = 1_000_000
_DEPTH_MAX: Final = 200  # deeper than any API object; keeps Python's own stack safe

_WORDS: Final[dict[str, Any]] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS.update(dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True))
_WORDS.update(dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False))
_NUMBERS_BEGIN: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"[-+]?(0[bB][01]+|0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}.*)?")
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YAMLError(ValueError):
    """The text is no YAML, or no JSON can be made of it; the message has the line where it is known."""


def load_all(text: str | bytes, *, duplicates: list[str] | None = None) -> list[Any]:
    """Every document of a stream, empty ones as None.

    A key that comes twice raises YAMLError; with `duplicates` the last one counts, and the message is appended there.
    """
    try:
        nodes = list(_compose(text))
    except yaml.YAMLError as error:
        raise YAMLError(_message(error)) from None
    return [_Document(duplicates).value(node) for node in nodes]


def load(text: str | bytes, *, duplicates: list[str] | None = None) -> Any:
    """The only document; YAMLError when there are several."""
    documents = load_all(text, duplicates=duplicates)
    if len(documents) > 1:
        raise YAMLError("yaml: expected a single document")
    return documents[0] if documents else None


def dump(value: Any) -> str:
    """Block style, keys sorted, as Kubernetes writes YAML."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, allow_unicode=True, width=_WIDTH
    )
    return text


class _Parser(yaml.CSafeLoader):
    """Composes nodes; instead of PyYAML's resolver a plain scalar is only marked as plain."""

    def __init__(self, stream: str | bytes) -> None:
        super().__init__(stream)
        self._depth = 0

    def resolve(self, kind: type[Node], value: str, implicit: tuple[bool, bool] | bool) -> str:
        if kind is ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _STRING
        return _PREFIX + ("seq" if kind is SequenceNode else "map")

    def descend_resolver(self, current: Node | None, index: Any) -> None:
        """Called for every node on the way in: the composer recurses in C, where too deep is a crash."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise YAMLError("yaml: exceeded max depth")

    def ascend_resolver(self) -> None:
        self._depth -= 1


class _Dumper(yaml.CSafeDumper):
    """Quotes whatever our reading, or a YAML 1.2 reader's, would not give back as the string it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: _Dumper, text: str) -> ScalarNode:
    if text in _WORDS or text == _MERGE or (text[0] in _NUMBERS_BEGIN and _looks_like_value(text)):
        return dumper.represent_scalar(_STRING, text, style='"')
    return dumper.represent_scalar(_STRING, text, style="|" if "\n" in text else None)


def _looks_like_value(text: str) -> bool:
    """A number, a time or a sexagesimal number to this or another reader of YAML 1.1."""
    if _TIME.fullmatch(text) or _SEXAGESIMAL.fullmatch(text) or _SPECIAL.fullmatch(text):
        return True
    return _number(text) is not text


_Dumper.add_representer(str, _represent_string)


def _compose(text: str | bytes) -> Iterator[Node | None]:
    parser = _Parser(text)
    while parser.check_node():
        yield parser.get_node()


class _Document:
    """Makes JSON data of one document's nodes, counting them."""

    def __init__(self, duplicates: list[str] | None) -> None:
        self._duplicates = duplicates
        self._found: list[str] = []
        self._nodes = 0
        self._open: set[int] = set()

    def value(self, node: Node | None) -> Any:
        result = None if node is None else self._value(node)
        if self._found:
            message = "yaml: unmarshal errors:\n" + "\n".join(self._found)
            if self._duplicates is None:
                raise YAMLError(message)
            self._duplicates.append(message)
        return result

    def _value(self, node: Node) -> Any:
        self._nodes += 1
        if self._nodes > _NODES_MAX:
            raise YAMLError("yaml: document contains excessive aliasing")
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise YAMLError("yaml: anchor value contains itself")
        self._open.add(id(node))
        result = self._mapping(node) if isinstance(node, MappingNode) else [self._value(item) for item in node.value]
        self._open.discard(id(node))
        return result

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == _MERGE:
                merged = {**merged, **self._merge(value_node)}
                continue
            key = _key(key_node)
            if key in result:
                self._found.append(f'  line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            result[key] = self._value(value_node)
        return {**merged, **result} if merged else result

    def _merge(self, node: Node) -> dict[str, Any]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            value = self._value(source)
            if not isinstance(value, dict):
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            merged |= value
        return merged


def _key(node: Node) -> str:
    value = _scalar(node) if isinstance(node, ScalarNode) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise YAMLError(f"yaml: line {node.start_mark.line + 1}: unsupported map key")


def _scalar(node: ScalarNode) -> Any:
    (tag, text) = (node.tag, node.value)
    if tag == _STRING:
        return text
    if tag == _PLAIN:
        if text in _WORDS:
            return _WORDS[text]
        return _number(text) if text[0] in _NUMBERS_BEGIN else text
    return _tagged(tag.removeprefix(_PREFIX), text, node)


def _number(text: str) -> Any:
    """The number a plain scalar is, or the text itself."""
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        return _integer(digits)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    if _SPECIAL.fullmatch(text):
        raise YAMLError(f"json: unsupported value: {text.strip('.')}")
    return text


def _integer(digits: str) -> int:
    unsigned = digits.lstrip("+-")
    base = {"b": 2, "x": 16, "o": 8}.get(unsigned[1:2].lower(), 8 if len(unsigned) > 1 and unsigned[0] == "0" else 10)
    number = int(unsigned, base) if base != 8 else int(unsigned.lower().replace("o", ""), 8)
    return -number if digits[0] == "-" else number


def _tagged(tag: str, text: str, node: ScalarNode) -> Any:
    """A scalar with a tag written out: `!!str 5`, `!!int "5"`."""
    value: Any = text
    if tag in ("null", "bool"):
        value = _WORDS.get(text, text)
    elif tag in ("int", "float"):
        value = _number(text)
    elif tag == "binary" or not tag.startswith("!"):
        value = text
    if value is text and tag in ("null", "bool", "int", "float"):
        raise YAMLError(f"yaml: line {node.start_mark.line + 1}: cannot decode !!str `{text}` as a !!{tag}")
    return value


def _message(error: yaml.YAMLError) -> str:
    """`yaml: line 3: mapping values are not allowed in this context`"""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"yaml: {error}"
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        # Marks count from 0; the scanner stops on the line it complains about, the parser has moved on.
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"yaml: {f'line {line}: ' if line else ''}{error.problem or error.context}"
