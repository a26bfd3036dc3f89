"""What CEL expressions of admission may use: `object`, `oldObject`, `request`, `authorizer`, and in policies more.

Types and names only; values are put together in `variables.py`. Documents: "Validating Admission Policy", "Dynamic Admission
Control" (match conditions).
"""

from __future__ import annotations

from functools import cache, lru_cache

from wherry import cel
from wherry.cel import BOOL, DYN, STRING, CompileErrors, Environment, Field, ObjectType, Program, list_of, map_of

AUTHORIZER = cel.opaque("kubernetes.authorization.Authorizer")
RESOURCE_CHECK = cel.opaque("kubernetes.authorization.ResourceCheck")
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
    variables: dict[str, cel.Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
    }
    if params:
        variables["params"] = DYN
    if policy:
        variables["namespaceObject"] = DYN
    return Environment(variables)


@lru_cache(maxsize=PROGRAMS_MAX)
def program(expression: str, where: Environment) -> Program | CompileErrors:
    """Compiled once; the errors are an answer too, since what is stored may have been written by another version."""
    try:
        return cel.compile(expression, where)
    except CompileErrors as errors:
        return errors
