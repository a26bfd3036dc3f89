"""Another implementation's answers: reads an expression per line, answers with a line of JSON: [status, value].

A process of its own, since the library drops references to None it does not own, which ends the interpreter sooner or later.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cel_answers import plain
from cel_expr_python import cel
from cel_expressions import DATA, VARIABLES

TYPES = {
    "int": cel.Type.INT,
    "string": cel.Type.STRING,
    "bool": cel.Type.BOOL,
    "double": cel.Type.DOUBLE,
    "list(int)": cel.Type.List(cel.Type.INT),
    "list(string)": cel.Type.List(cel.Type.STRING),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.INT),
    "dyn": cel.Type.DYN,
}
EXTENSIONS = ("optional", "strings", "sets", "bindings", "two-var-comprehensions")


def main() -> None:
    config = "name: x\nextensions:\n" + "".join(f"- name: {name}\n" for name in EXTENSIONS)
    variables = {name: TYPES[kind] for name, kind in VARIABLES.items()}
    environment = cel.NewEnv(config=cel.NewEnvConfigFromYaml(config), variables=variables)
    for line in sys.stdin:
        print(json.dumps(answer(environment, json.loads(line))), flush=True)
    os._exit(0)


def answer(environment: Any, expression: str) -> list[Any]:
    try:
        value = environment.compile(expression).eval(data=DATA)
    except RuntimeError as error:
        return ["error", str(error)]
    if value.type() == cel.Type.ERROR:
        return ["error", str(value.value())]
    return ["ok", plain(value.plain_value())]


if __name__ == "__main__":
    main()
