"""CEL alone: what compiling and running a rule costs. Where another implementation is installed, the ratio to it as well.

The other one converts the variables to values of its own in every evaluation, as it would have to here; ratios above 1 say
that ours is quicker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from wherry import cel
from wherry.apiserver.extensions.rules import problems, rules
from wherry.apiserver.extensions.structural import Node

SECONDS = 0.3
RULES = {
    "two fields": "self.replicas <= self.maxReplicas",
    "a label": "has(self.metadata.labels) && 'app' in self.metadata.labels && self.metadata.labels['app'] != ''",
    "each of 3 containers": "self.containers.all(c, c.image.startsWith('shop/') && !(has(c.privileged) && c.privileged))",
    "each of 20 ports": "self.ports.filter(p, p.port > 1024).map(p, p.port).all(n, n < 40000)",
    "a pattern": "self.host.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z]+)+$')",
}
SELF: dict[str, Any] = {
    "replicas": 3,
    "maxReplicas": 5,
    "host": "cart.shop.example.com",
    "metadata": {"name": "cart", "labels": {"app": "cart", "tier": "web"}},
    "containers": [{"name": f"c{number}", "image": f"shop/cart:{number}"} for number in range(3)],
    "ports": [{"name": f"p{number}", "port": 1000 + number * 100} for number in range(20)],
}


def rows() -> Iterator[tuple[str, ...]]:
    """(rule, compile µs, evaluations/s, ratio of each to the other implementation)."""
    yield "rule", "compile", "evaluate", "ratio: compile", "evaluate"
    environment = cel.Environment({"self": cel.DYN})
    other = _other()
    for name, rule in RULES.items():
        program = cel.compile(rule, environment)
        assert program.evaluate({"self": SELF}) is True
        compiled = _rate(lambda rule=rule: cel.compile(rule, environment))
        evaluated = _rate(lambda program=program: program.evaluate({"self": SELF}))
        ratios: tuple[str, ...] = ()
        if other is not None:
            theirs = other.compile(rule)
            assert theirs.eval(data={"self": SELF}).value() is True
            there = _rate(lambda rule=rule: other.compile(rule))
            ran = _rate(lambda theirs=theirs: theirs.eval(data={"self": SELF}))
            ratios = (f"{compiled / there:.2f}", f"{evaluated / ran:.2f}")
        yield name, f"{1e6 / compiled:.0f} µs", f"{evaluated:,.0f}/s", *ratios
    yield from _definition()


def _definition() -> Iterator[tuple[str, ...]]:
    """A custom resource with a rule at each of 20 fields: what its definition costs when written, and each write of an object."""
    limits = {"rule": "self.startsWith('a') && self.size() < 20 && self.matches('^[a-z0-9]+$')"}
    field = {"type": "string", "maxLength": 20, "x-kubernetes-validations": [limits]}
    spec = {"type": "object", "properties": {f"field{number}": field for number in range(20)}}
    schema = {"type": "object", "properties": {"spec": spec}}
    compiled = _rate(lambda: problems(schema, "schema"))
    root = Node(schema)
    validator = rules(root)
    assert validator is not None
    obj = {"metadata": {"name": "a"}, "spec": {f"field{number}": "abc123" for number in range(20)}}
    assert validator.validate(obj, None, root) == []
    yield "20 rules: definition", f"{1e3 / compiled:.1f} ms"
    yield "20 rules: each write", f"{1e6 / _rate(lambda: validator.validate(obj, None, root)):.0f} µs"


def _other() -> Any:
    try:
        from cel_expr_python import cel as other
    except ImportError:
        return None
    return other.NewEnv(variables={"self": other.Type.DYN})


def _rate(run: Callable[[], Any]) -> float:
    """Runs per second."""
    count = 0
    started = time.perf_counter()
    while True:
        for _ in range(50):
            run()
        count += 50
        passed = time.perf_counter() - started
        if passed > SECONDS:
            return count / passed


if __name__ == "__main__":
    for row in rows():
        print(f"{row[0]:<24}" + "".join(f"{each:>16}" for each in row[1:]), file=sys.stdout)
