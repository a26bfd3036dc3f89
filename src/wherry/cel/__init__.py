"""CEL, the expression language of Kubernetes' validation rules, admission policies and match conditions.

What it is: a parser, a type checker, an evaluator of closures over plain JSON values, cost limits, and the libraries Kubernetes
adds. It is no policy engine: who calls it decides what a result means. It reads no time, file or socket, and whatever text
and data it is given, it ends: depth and length of an expression are limited, and each evaluation has a budget.

    environment = Environment({"object": DYN})
    program = compile("object.spec.replicas <= 5", environment)
    program.evaluate({"object": {"spec": {"replicas": 3}}})  # True
"""

from wherry.cel.environment import CALL_COST_MAX, Environment
from wherry.cel.errors import CelError, CompileErrors, CostExceeded, EvaluationError, Failure
from wherry.cel.program import Budget, Program, compile
from wherry.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
    opaque,
    optional_of,
)
from wherry.cel.values import NONE, MapList, Optional, Record, SetList, Struct, TypeValue, Uint, Value, equals

__all__ = [
    "BOOL", "BYTES", "CALL_COST_MAX", "DOUBLE", "DURATION", "DYN", "INT", "NONE", "NULL", "STRING", "TIMESTAMP", "UINT",
    "Budget", "CelError", "CompileErrors", "CostExceeded", "Environment", "EvaluationError", "Failure", "Field", "MapList",
    "ObjectType", "Optional", "Program", "Record", "SetList", "Struct", "Type", "TypeValue", "Uint", "Value", "compile",
    "equals", "list_of", "map_of", "opaque", "optional_of",
]  # fmt: skip
