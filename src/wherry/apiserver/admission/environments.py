"""What CEL expressions of admission may use: `object`, `oldObject`, `request`, `authorizer`, and in policies more.

Types and names only; values are put together in `variables.py`. Documents: "Validating Admission Policy", "Dynamic Admission
Control" (match conditions).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from wherry import cel
from wherry.api.types import Obj
from wherry.cel import BOOL, DYN, STRING, CompileErrors, Environment, Field, ObjectType, Program, list_of, map_of
from wherry.cel.libraries.authorizer import AUTHORIZER, RESOURCE_CHECK
from wherry.cel.libraries.patches import object_type

PROGRAMS_MAX = 2048
"""Expressions kept compiled: those of some hundred policies."""


def _object(type_name: str, fields: dict[str, cel.Type]) -> ObjectType:
    return ObjectType(type_name, {key: Field(kind, key) for key, kind in fields.items()})


def _strings(type_name: str, *fields: str) -> ObjectType:
    return _object(type_name, dict.fromkeys(fields, STRING))


_KIND = _strings("kubernetes.GroupVersionKind", "group", "version", "kind")
_RESOURCE = _strings("kubernetes.GroupVersionResource", "group", "version", "resource")
_USER = _object(
    "kubernetes.UserInfo",
    {"username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING))},
)
REQUEST = _object(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND, "resource": _RESOURCE, "subResource": STRING,
        "requestKind": _KIND, "requestResource": _RESOURCE, "requestSubResource": STRING,
        "name": STRING, "namespace": STRING, "operation": STRING, "userInfo": _USER, "dryRun": BOOL, "options": DYN,
    },
)  # fmt: skip


@cache
def environment(params: bool = False, policy: bool = False) -> Environment:
    """With `params` where a paramKind is given, with namespaceObject in policies."""
    known: dict[str, cel.Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
    }
    if params:
        known["params"] = DYN
    if policy:
        known["namespaceObject"] = DYN
    return Environment(known, object_type=object_type)


def with_variables(
    base: Environment, declared: Iterable[Obj]
) -> tuple[Environment, dict[str, Program | CompileErrors]]:
    """The environment after spec.variables, and their programs: each may use those before it."""
    fields: dict[str, Field] = {}
    programs: dict[str, Program | CompileErrors] = {}
    where = base.extended({"variables": ObjectType("kubernetes.variables", dict(fields))})
    for each in declared:
        name = each.get("name") or ""
        compiled = programs[name] = program(each.get("expression") or "", where)
        fields[name] = Field(DYN if isinstance(compiled, CompileErrors) else compiled.result_type, name)
        where = base.extended({"variables": ObjectType("kubernetes.variables", dict(fields))})
    return where, programs


@lru_cache(maxsize=PROGRAMS_MAX)
def program(expression: str, where: Environment) -> Program | CompileErrors:
    """Compiled once; the errors are an answer too, since what is stored may have been written by another version."""
    try:
        return cel.compile(expression, where)
    except CompileErrors as errors:
        return errors
