"""What is told when an expression does not compile: the text, the line, the caret."""

from __future__ import annotations

import pytest

from wherry import cel
from wherry.cel.types import Field, ObjectType

SPEC = ObjectType("spec", {"x": Field(cel.INT, "x"), "__namespace__": Field(cel.STRING, "namespace")})
SELF = ObjectType("self", {"spec": Field(SPEC, "spec"), "names": Field(cel.list_of(cel.STRING), "names")})
ENVIRONMENT = cel.Environment({"self": SELF, "n": cel.INT, "o": cel.DYN})
TERMS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("n =", "1:3", "Syntax error: token recognition error at: '='"),
        ("1 +", "1:4", f"Syntax error: mismatched input '<EOF>' expecting {TERMS}"),
        ("n n", "1:3", "Syntax error: extraneous input 'n' expecting <EOF>"),
        ("n = n", "1:3", "Syntax error: token recognition error at: '= '"),
        ("(n", "1:3", "Syntax error: missing ')' at '<EOF>'"),
        ("(n n)", "1:4", "Syntax error: extraneous input 'n' expecting ')'"),
        ("*n", "1:1", f"Syntax error: extraneous input '*' expecting {TERMS}"),
        ("true ? 1", "1:9", "Syntax error: mismatched input '<EOF>' expecting ':'"),
        ("n{}()", "1:4", "Syntax error: mismatched input '(' expecting <EOF>"),
        ("'abc", "1:1", "Syntax error: token recognition error at: ''abc'"),
        ("99999999999999999999", "1:1", "invalid int literal"),
        ("'\\q'", "1:1", "unable to unescape string"),
        ("namespace == 'x'", "1:1", "reserved identifier: namespace"),
        ("foo == 'x'", "1:1", "undeclared reference to 'foo' (in container '')"),
        ("n.foo()", "1:6", "undeclared reference to 'foo' (in container '')"),
        ("self.spec.y > 1", "1:10", "undefined field 'y'"),
        ("has(self.spec.y)", "1:4", "undefined field 'y'"),
        ("self.spec.namespace", "1:10", "undefined field 'namespace'"),
        ("n == 'x'", "1:3", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("n + 'x'", "1:3", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("n && true", "1:3", "found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("self.names.startsWith('a')", "1:22", "found no matching overload for 'startsWith' applied to 'list(string).(string)'"),
        ("n.a", "1:2", "type 'int' does not support field selection"),
        ("n.all(i, true)", "1:1", "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("[1, 'a']", "1:5", "expected type 'int' but found 'string'"),
        ("has(n)", "1:5", "invalid argument to has() macro"),
        ("[1].all(1, true)", "1:9", "argument must be a simple name"),
        ("'a'.matches('(')", "1:13", "invalid matches argument"),
        ("'%d'.format(['a'])", "1:14", "error during formatting: decimal clause can only be used on integers, was given string"),
        ("'%s'.format([1, 2])", "1:12", "too many arguments supplied to string.format (expected 1, got 2)"),
        ("'%s %s'.format([1])", "1:15", "index 1 out of range"),
        ("'%y'.format([1])", "1:12", 'could not parse formatting clause: unrecognized formatting clause "y"'),
        ("duration('1 hour')", "1:10", "invalid duration argument"),
        ("NoType{a: 1}", "1:7", "undeclared reference to 'NoType' (in container '')"),
        ("true ?\n n == 'x' : false", "2:4", "found no matching overload for '_==_' applied to '(int, string)'"),
    ],
)  # fmt: skip
def test_mistakes(text: str, place: str, message: str) -> None:
    with pytest.raises(cel.CompileErrors) as caught:
        cel.compile(text, ENVIRONMENT)
    (line, column) = map(int, place.split(":"))
    shown = f" | {text.splitlines()[line - 1]}\n | {'.' * (column - 1)}^"
    assert str(caught.value).startswith(f"compilation failed: ERROR: <input>:{place}: {message}\n{shown}")


def test_all_mistakes_are_told_in_order() -> None:
    with pytest.raises(cel.CompileErrors) as caught:
        cel.compile("a + b == c", ENVIRONMENT)
    assert [issue.message.split("'")[1] for issue in caught.value.issues] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("self.spec.x", "int"),
        ("self.names.map(n, n.size())", "list(int)"),
        ("o.a.b", "dyn"),
        ("o == null ? [] : [1]", "list(int)"),
        ("{'a': 1}.transformMap(k, v, string(v))", "map(string, string)"),
        ("optional.of(1).orValue(2)", "int"),
        ("self.?spec.x", "optional_type(int)"),
        ("type(1)", "type(int)"),
        ("timestamp(0) - duration('1s')", "timestamp"),
        ("'%s %d'.format(['a', 1])", "string"),
        ("[1, o]", "list(dyn)"),
        ("self.spec.__namespace__", "string"),
        ("null", "null"),
    ],
)
def test_types(text: str, kind: str) -> None:
    assert str(cel.compile(text, ENVIRONMENT).result_type) == kind


def test_fields_are_read_by_their_wire_names() -> None:
    program = cel.compile("self.spec.__namespace__", ENVIRONMENT)
    assert program.evaluate({"self": {"spec": {"namespace": "shop"}}}) == "shop"
