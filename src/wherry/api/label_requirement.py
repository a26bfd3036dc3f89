"""One condition on labels: `app=cart`, `tier in (api,web)`, `!canary`, `rank>5`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from msgspec import Struct

from wherry.api import names
from wherry.api.integers import capped

_INTEGER = re.compile(r"[-+]?[0-9]+")


class Requirement(Struct, frozen=True):
    """`operator` is one of "=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"; `values` are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """A missing label meets `!=` and `notin`, as in Kubernetes."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not _INTEGER.fullmatch(value):
            return False
        (left, right) = (capped(value), capped(self.values[0]))
        return left > right if self.operator == "gt" else left < right

    def problem(self) -> str:
        """Why this cannot be a requirement, in Kubernetes' words; "" when it can."""
        if messages := names.qualified_name(self.key):
            return f"key: Invalid value: {json.dumps(self.key, ensure_ascii=False)}: {'; '.join(messages)}"
        listed = json.dumps(list(self.values), ensure_ascii=False, separators=(",", ":"))
        count = len(self.values)
        match self.operator:
            case "in" | "notin" if count == 0:
                return f"values: Invalid value: {listed}: for 'in', 'notin' operators, values set can't be empty"
            case "=" | "==" | "!=" if count != 1:
                return f"values: Invalid value: {listed}: exact-match compatibility requires one single value"
            case "exists" | "!" if count:
                return f"values: Invalid value: {listed}: values set must be empty for exists and does not exist"
            case "gt" | "lt" if count != 1:
                return f"values: Invalid value: {listed}: for 'Gt', 'Lt' operators, exactly one value is required"
            case "gt" | "lt" if not _INTEGER.fullmatch(self.values[0]):
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                return f"values[0]: Invalid value: {json.dumps(self.values[0], ensure_ascii=False)}: {why}"
        for index, value in enumerate(self.values):
            if messages := names.label_value(value):
                shown = json.dumps(value, ensure_ascii=False)
                return f"values[{index}][{self.key}]: Invalid value: {shown}: {'; '.join(messages)}"
        return ""

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt":
                return f"{self.key}>{self.values[0]}"
            case "lt":
                return f"{self.key}<{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"
