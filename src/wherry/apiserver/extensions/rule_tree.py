"""The rules of a schema, run over an object: each value against the rules of its place, down to where there are rules.

A transition rule (one that reads oldSelf) runs where there is an old value to compare with: fields by name, elements of a list of
type map by their keys. Other rules are forgiven when the value is what it was (ratcheting). All of one write share a budget;
when it is used up, nothing more is run and the write is refused. Source: Kubernetes' "Validation rules", "Transition rules",
"Validation ratcheting", "Resource use by validation functions".
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from wherry import cel
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions.rule_compiling import Place, Rule
from wherry.apiserver.extensions.structural import MAP_TYPE, RULES, Node
from wherry.apiserver.extensions.values import key_of
from wherry.apiserver.registry.validation import field

BUDGET: Final = 10_000_000
"""Cost units all rules of one write may use, as Kubernetes' RuntimeCELCostBudget."""
_REMEMBERED: Final = 64
"""Writes between validation and storage whose warnings are kept."""
MESSAGE_MAX: Final = 5 * 1024
_SPENT: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


class _Stop(Exception):
    """The budget is used up, which the last cause says."""


class _Run:
    """One write: what its rules may still use, and what was forgiven because it is not new."""

    __slots__ = ("budget", "forgiven")

    def __init__(self) -> None:
        self.budget = cel.Budget(BUDGET)
        self.forgiven: list[str] = []


class _Old(NamedTuple):
    """
    value    what is stored at this place, None when there is nothing comparable
    same     whether the value, or the nearest comparable one above it, is as it was
    """

    value: Any
    same: bool


class Branch:
    """The rules at one place of the schema and below it. Rules are compiled when first needed."""

    def __init__(self, node: Node, root: bool) -> None:
        self.node = node
        self.place = Place(node.props, root)
        parts = [node.props, *(part for part in node.props.get("allOf") or () if isinstance(part, dict))]
        self._written: list[Obj] = [rule for part in parts for rule in part.get(RULES) or ()]
        self._compiled: list[Rule] | None = None
        self.fields: Mapping[str, Branch] = {
            name: branch for name, child in node.fields.items() if (branch := branch_of(child)) is not None
        }
        self.items = branch_of(node.items) if node.items is not None else None
        self.values = branch_of(node.values) if node.values is not None else None

    def __bool__(self) -> bool:
        return bool(self._written or self.fields or self.items or self.values)

    @property
    def rules(self) -> list[Rule]:
        if self._compiled is None:
            seen = self.place.shape is not None
            self._compiled = [self.place.compile(rule) for rule in self._written if seen and rule.get("rule")]
        return self._compiled


def branch_of(node: Node, root: bool = False) -> Branch | None:
    """None when there is no rule here or below."""
    branch = Branch(node, root or node.embedded)
    return branch if branch else None


class Tree:
    """All rules of one version of a definition."""

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        self._forgiven: dict[int, tuple[Any, list[str]]] = {}
        self._remembering = threading.Lock()  # heavy rules are judged in a thread

    def validate(self, obj: Obj, old: Obj | None, root: Node) -> list[Cause]:
        """Whatever part of the object a write touches, rules see all of it: the rest is as it was, and forgiven."""
        return self._run(obj, _Old(old, old is not None and _same(obj, old)), "")

    def validate_alone(self, value: Any, path: str) -> list[Cause]:
        """A value that is no whole object, at `path`."""
        return self._run(value, _Old(None, False), path)

    def warnings(self, obj: Obj) -> list[str]:
        """What was forgiven when this very object was validated; told once."""
        with self._remembering:
            (known, forgiven) = self._forgiven.pop(id(obj), (None, []))
        return forgiven if known is obj else []

    def _run(self, value: Any, old: _Old, path: str) -> list[Cause]:
        causes: list[Cause] = []
        run = _Run()
        try:
            for cause in _walk(self._branch, value, old, path, run):
                causes.append(cause)  # noqa: PERF402  (what came before the stop counts)
        except _Stop as stop:
            causes.append(stop.args[0])
        if run.forgiven and not causes:
            with self._remembering:
                while len(self._forgiven) >= _REMEMBERED:
                    del self._forgiven[next(iter(self._forgiven))]
                self._forgiven[id(value)] = (value, run.forgiven)
        return causes


def _walk(branch: Branch, value: Any, old: _Old, path: str, run: _Run) -> Iterator[Cause]:
    if value is None:
        return
    if branch._written:
        yield from _rules(branch, value, old, path or "<nil>", run)
    if isinstance(value, dict):
        correlated = branch.node.props.get(MAP_TYPE) != "atomic" and isinstance(old.value, dict)
        for name, child in value.items():
            below = branch.fields.get(name)
            where = f"{path}.{name}" if path else name
            if below is None:
                below, where = branch.values, f"{path}[{name}]"
            if below is not None:
                before = _below(old, child, old.value.get(name) if correlated else None, correlated)
                yield from _walk(below, child, before, where, run)
    elif isinstance(value, list) and branch.items is not None:
        yield from _elements(branch, branch.items, value, old, path, run)


def _elements(branch: Branch, items: Branch, value: list[Any], old: _Old, path: str, run: _Run) -> Iterator[Cause]:
    correlated = branch.node.list_type == "map" and isinstance(old.value, list)
    known = {key_of(each, branch.node): each for each in old.value} if correlated else {}
    for index, child in enumerate(value):
        before = _below(old, child, known.get(key_of(child, branch.node)) if correlated else None, correlated)
        yield from _walk(items, child, before, f"{path}[{index}]", run)


def _below(old: _Old, child: Any, before: Any, correlated: bool) -> _Old:
    return (
        _Old(before, old.same or (before is not None and _same(child, before))) if correlated else _Old(None, old.same)
    )


def _same(one: Any, other: Any) -> bool:
    try:
        return cel.equals(one, other)
    except RecursionError:  # as deep as a request may be; not forgiving is safe
        return False


def _rules(branch: Branch, value: Any, old: _Old, path: str, run: _Run) -> Iterator[Cause]:
    kind = branch.node.type
    if run.budget.remaining <= 0:
        raise _Stop(field.invalid(path, kind, _SPENT))
    try:
        now = branch.place.value(value)
        before = branch.place.value(old.value)
    except cel.Failure as failure:
        yield field.invalid(path, kind, f"{failure} evaluating rule: {branch.rules[0].shown}")
        return
    for rule in branch.rules:
        if rule.program is None:
            yield field.invalid(path, kind, f"rule compile error: {rule.error}")
            continue
        variables = {"self": now}
        if rule.uses_old:
            if before is None and not rule.optional_old:
                continue
            shown = before if not rule.optional_old else cel.NONE if before is None else cel.Optional(before)
            variables["oldSelf"] = shown
        cause = _evaluated(rule, rule.program, variables, path, kind, run)
        if cause is not None and old.same and not rule.uses_old:
            run.forgiven.append(f"{cause.field}: {cause.message}")
        elif cause is not None:
            yield cause


def _evaluated(
    rule: Rule, program: cel.Program, variables: Mapping[str, Any], path: str, kind: str, run: _Run
) -> Cause | None:
    """None when the rule holds."""
    try:
        if program.evaluate(variables, run.budget) is True:
            return None
    except cel.CostExceeded as error:
        if run.budget.remaining < 0:
            raise _Stop(field.invalid(path, kind, _SPENT)) from None
        text = (
            f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.shown}"
        )
        raise _Stop(field.invalid(path, kind, text)) from None
    except cel.EvaluationError as error:
        if str(error).startswith("no such overload"):
            text = "call arguments did not match a supported operator, function or macro signature for rule"
            return field.invalid(path, kind, f"'{error}': {text}: {rule.shown}")
        return field.invalid(path, kind, f"{error} evaluating rule: {rule.shown}")
    where = path + _normalised(rule.props.get("fieldPath") or "", path)
    detail = _message(rule, variables, where, kind, run)
    return _broken(where.removeprefix("<nil>."), kind, detail, rule.props.get("reason"))


def _normalised(where: str, path: str) -> str:
    where = where.strip()
    return where if not where or where.startswith(("[", ".")) else f".{where}"


def _message(rule: Rule, variables: Mapping[str, Any], path: str, kind: str, run: _Run) -> str:
    if rule.message is not None:
        try:
            text = str(rule.message.evaluate(variables, run.budget)).strip()
        except cel.CostExceeded:
            if run.budget.remaining < 0:
                spent = _SPENT.replace("validation failed", "messageExpression evaluation failed")
                raise _Stop(field.invalid(path, kind, spent)) from None
            quoted = field.quote(rule.props["messageExpression"])
            text = f"no further validation rules will be run due to call cost exceeds limit for messageExpression: {quoted}"
            raise _Stop(field.invalid(path, kind, text)) from None
        except cel.EvaluationError:
            text = ""
        if text and "\n" not in text and len(text.encode()) <= MESSAGE_MAX:
            return text
    return str(rule.props.get("message") or "").strip() or f"failed rule: {rule.shown}"


def _broken(path: str, kind: str, detail: str, reason: str | None) -> Cause:
    if reason == "FieldValueForbidden":
        return field.forbidden(path, detail)
    if reason == "FieldValueRequired":
        return field.required(path, detail)
    if reason == "FieldValueDuplicate":
        return field.duplicate(path, kind)
    return field.invalid(path, kind, detail)
