"""Random expressions of CEL: mostly well typed, so that they get far, with values at the borders where arithmetic goes wrong."""

from __future__ import annotations

import random

TYPES = (
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "list(int)",
    "list(string)",
    "map",
    "dyn",
    "duration",
    "timestamp",
)

VARIABLES = {
    "i": "int",
    "s": "string",
    "b": "bool",
    "f": "double",
    "ints": "list(int)",
    "names": "list(string)",
    "m": "map",
    "x": "dyn",
}
DATA = {
    "i": 7,
    "s": "héllo wörld",
    "b": True,
    "f": 2.5,
    "ints": [3, 1, 2],
    "names": ["a", "bb", ""],
    "m": {"a": 1, "b": -5},
    "x": {"a": 1, "l": [1, 2.5, "s", None, True], "m": {"k": "v"}, "z": None},
}
LITERALS = {
    "int": ["0", "1", "-1", "2", "7", "9223372036854775807", "-9223372036854775808", "0x1F", "100"],
    "uint": ["0u", "1u", "18446744073709551615u", "7u"],
    "double": ["0.0", "-0.0", "1.5", "1e308", "1e-5", "-2.5", "3.0", "123456789.125"],
    "string": ["''", "'a'", '"é"', "'a.b'", "r'\\d+'", "'\\n\\u00e9'", "'7'", "'true'", "'1.5'", "'''x'''"],
    "bool": ["true", "false"],
    "bytes": ["b''", "b'abc'", "b'\\xff'", "b'é'"],
    "list(int)": ["[]", "[1]", "[1, 2, 3]"],
    "list(string)": ["['a']", "['a', 'b']"],
    "map": ["{'a': 1}", "{'a': 1, 'b': 2}"],
    "dyn": ["null", "dyn(1)", "dyn('a')", "dyn(1.0)", "dyn(1u)", "dyn([1, 'a'])", "dyn({'a': true})", "x.nothing", "x.l[9]"],
    "duration": ["duration('1h')", "duration('-1.5s')", "duration('0')", "duration('100ms')"],
    "timestamp": ["timestamp('2020-02-29T12:34:56.789Z')", "timestamp(0)", "timestamp('9999-12-31T23:59:59Z')"],
}  # fmt: skip
FORMS: dict[str, list[str]] = {
    "int": [
        "({int} + {int})", "({int} - {int})", "({int} * {int})", "({int} / {int})", "({int} % {int})", "-({int})",
        "size({string})", "{list(int)}.size()", "size({map})", "size({bytes})", "int({double})", "int({uint})",
        "int({string})", "{list(int)}[{int}]", "{map}['a']", "({bool} ? {int} : {int})", "{timestamp}.getHours()",
        "{timestamp}.getDayOfWeek()", "{timestamp}.getMonth()", "{duration}.getMinutes()", "int({timestamp})",
        "{timestamp}.getMilliseconds()", "{timestamp}.getFullYear('-08:00')", "{timestamp}.getDayOfYear()",
        "{duration}.getSeconds()", "{map}.a",
    ],
    "uint": ["({uint} + {uint})", "({uint} - {uint})", "({uint} * {uint})", "({uint} / {uint})", "({uint} % {uint})",
             "uint({int})", "uint({double})", "uint({string})"],
    "double": ["({double} + {double})", "({double} - {double})", "({double} * {double})", "({double} / {double})",
               "-({double})", "double({int})", "double({uint})", "double({string})"],
    "string": ["({string} + {string})", "string({int})", "string({uint})", "string({double})", "string({bool})",
               "string({bytes})", "{list(string)}[{int}]", "({bool} ? {string} : {string})"],
    "bool": [
        "({int} == {int})", "({int} < {int})", "({double} <= {double})", "({string} == {string})", "({string} < {string})",
        "({bool} && {bool})", "({bool} || {bool})", "!{bool}", "({bool} ? {bool} : {bool})", "({int} in {list(int)})",
        "('a' in {map})", "({string} in {list(string)})", "{string}.contains({string})", "{string}.startsWith({string})",
        "{string}.endsWith({string})", "{string}.matches('^[a-z]*$')", "({dyn} == {dyn})", "({dyn} != {int})",
        "(dyn({int}) < {dyn})", "({uint} >= {uint})", "({bytes} == {bytes})", "({bytes} < {bytes})",
        "({list(int)} == {list(int)})", "({map} == {map})", "has(x.a)", "has(x.nothing)", "has(x.m.k)",
        "{list(int)}.all(e, {bool})", "{list(int)}.exists(e, e == {int})", "{list(int)}.exists_one(e, e > {int})",
        "{map}.all(k, {map}[k] > {int})", "{list(string)}.exists(e, e.startsWith({string}))", "bool({string})",
        "({duration} < {duration})", "({timestamp} == {timestamp})", "({timestamp} < {timestamp})", "(type({int}) == int)",
        "({double} == {double})", "({uint} == {uint})", "{list(int)}.all(e, e / {int} > 0)", "(dyn(1) < {double})",
        "({int} in dyn({list(int)}))",
        "{list(int)}.exists(e, 10 / e > {int})", "(dyn({list(int)}) == {dyn})", "(type({dyn}) == type({dyn}))",
    ],
    "bytes": ["({bytes} + {bytes})", "bytes({string})"],
    "list(int)": ["({list(int)} + {list(int)})", "{list(int)}.map(e, e + {int})", "{list(int)}.filter(e, e > {int})",
                  "[{int}, {int}]", "{list(int)}.map(e, e > 1, e * 2)", "{list(string)}.map(e, size(e))"],
    "list(string)": ["({list(string)} + {list(string)})", "{list(string)}.map(e, e + {string})", "[{string}]"],
    "map": ["{{'a': {int}}}", "{{{string}: {int}}}", "({bool} ? {map} : {map})", "{{{string}: {int}, {string}: {int}}}"],
    "dyn": ["x.a", "x.l", "x.m.k", "x.l[{int}]", "x['m']", "dyn({int})", "dyn({string})", "dyn({double})", "dyn({list(int)})",
            "[1, {dyn}]", "({bool} ? {dyn} : {dyn})", "x[{string}]", "{{{dyn}: {dyn}}}", "({dyn} + {dyn})", "{dyn}[{dyn}]",
            "-{dyn}", "({dyn} % {dyn})", "x.l.map(e, e == {dyn})", "x.l.filter(e, type(e) == {dyn} || true)",
            "{dyn}.a", "size({dyn})", "({dyn} * {dyn})", "({dyn} && {dyn})"],
    "duration": ["({duration} + {duration})", "({duration} - {duration})", "({timestamp} - {timestamp})"],
    "timestamp": ["({timestamp} + {duration})", "({timestamp} - {duration})"],
}  # fmt: skip

EXTENSIONS: dict[str, list[str]] = {
    "int": ["{string}.indexOf({string})", "{string}.lastIndexOf({string})",
            "x.?a.orValue({int})", "x.?nothing.orValue({int})", "{list(int)}[?{int}].orValue({int})",
            "optional.of({int}).value()", "cel.bind(v, {int}, v + v)", "optional.none().orValue({int})",
            "optional.ofNonZeroValue({int}).orValue(5)"],
    "string": ["{string}.charAt({int})", "{string}.trim()",
               "{string}.lowerAscii()", "{string}.upperAscii()", "{list(string)}.join({string})", "{list(string)}.join()",
               "{string}.replace({string}, {string})", "{string}.replace({string}, {string}, {int})",
               "cel.bind(v, {string}, v + v)", "strings.quote({string})",
               "'%s %d %x'.format([{string}, {int}, {int}])", "'%s|%s'.format([{map}.size(), {bool}])",
               "'%o %b'.format([{int}, {bool}])"],
    "list(string)": ["{string}.split('a')", "{string}.split('.', {int})"],
    "bool": ["sets.contains({list(int)}, {list(int)})", "sets.intersects({list(int)}, {list(int)})",
             "sets.equivalent({list(int)}, {list(int)})", "optional.of({int}).hasValue()", "has(x.?m.k)",
             "x.?m.?k.hasValue()", "(optional.of({int}) == optional.of({int}))", "x.?a.optMap(v, v == {int}).orValue(false)",
             "{list(int)}.all(j, e, j < e)", "{map}.exists(j, e, e > {int})", "(x.?a == optional.of({dyn}))"],
    "list(int)": ["[{int}, ?optional.of({int})]", "[?optional.none(), {int}]", "{list(int)}.transformList(j, e, j + e)",
                  "{list(int)}.transformList(j, e, e > 1, j * e)"],
    "map": ["{{?'a': optional.of({int}), 'b': {int}}}"],
}  # fmt: skip


def expression(chance: random.Random, kind: str, depth: int) -> str:
    """An expression that should be of this type."""
    if depth <= 0 or chance.random() < 0.1:
        named = [name for name, each in VARIABLES.items() if each == kind]
        return chance.choice(LITERALS[kind] + named * 2)
    form = chance.choice(FORMS[kind] + EXTENSIONS.get(kind, []) * 2)
    made = ""
    rest = form
    while rest:
        if rest[:2] in ("{{", "}}"):
            (made, rest) = (made + rest[0], rest[2:])
        elif rest[0] == "{":
            (inner, _, rest) = rest[1:].partition("}")
            made += expression(chance, inner, depth - 1)
        else:
            (made, rest) = (made + rest[0], rest[1:])
    return made
