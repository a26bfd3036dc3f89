"""From tokens to a tree: precedence climbing, never deeper than `DEPTH_MAX`.

What is wrong is reported as cel-go's parser would; after the first mistake of grammar nothing more is parsed.
"""

from __future__ import annotations

from typing import Final

from wherry.cel.errors import CompileErrors, Issue
from wherry.cel.literals import BadLiteral, bytes_literal, number, string
from wherry.cel.macros import MACROS, BadMacro
from wherry.cel.syntax import (
    OPERATORS,
    Call,
    Ident,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Node,
    Select,
    StructOf,
    qualified_name,
)
from wherry.cel.tokens import EXPRESSION_MAX, Token, tokens

DEPTH_MAX: Final = 250
"""Levels of a tree. Brackets count two, since they take four Python frames to parse; an operator or member of a chain counts
one, since it takes two to check and one to run. So Python's 1,000 frames suffice beside the server's own."""

_START: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_RESERVED: Final = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    )
)
_BEGIN: Final = frozenset(("[", "{", "(", ".", "float", "int", "uint", "string", "bytes", "ident"))
_AFTER: Final = frozenset(("end", ")", "]", "}", ",", ".", "[", "?", ":", "&&", "||"))
"""What may stand after an operand."""
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


class _Stop(Exception):
    """The grammar is broken here."""

    def __init__(self, position: int, message: str) -> None:
        self.issue = Issue(position, message)


def parse(expression: str) -> Node:
    """The tree; CompileErrors when the text is no expression."""
    if len(expression) > EXPRESSION_MAX:
        text = f"expression code point size exceeds limit: size: {len(expression)}, limit {EXPRESSION_MAX}"
        raise CompileErrors(expression[:80], [Issue(0, text)])
    (found, issues) = tokens(expression)
    parser = _Parser(found, issues)
    try:
        tree = parser.expression()
        parser.end()
    except _Stop as stop:
        issues.append(stop.issue)
    if issues:
        raise CompileErrors(expression, sorted(issues))
    return tree


class _Parser:
    def __init__(self, found: list[Token], issues: list[Issue]) -> None:
        self.tokens = found
        self.issues = issues
        self.at = 0
        self.next = found[0]
        self.depth = 0

    def take(self) -> Token:
        token = self.next
        if token.kind != "end":
            self.at += 1
            self.next = self.tokens[self.at]
        return token

    def expect(self, kind: str) -> Token:
        """The token, or a mistake; one token too many, or a closing bracket that is missing, does not stop the parser."""
        found = self.next
        if found.kind == kind:
            return self.take()
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if following.kind == kind and found.kind != "end":
            self.issues.append(
                Issue(found.position, f"Syntax error: extraneous input {found.shown} expecting '{kind}'")
            )
            self.take()
            return self.take()
        if kind in ")]}" and (found.kind in _AFTER or found.kind in OPERATORS):
            self.issues.append(Issue(found.position, f"Syntax error: missing '{kind}' at {found.shown}"))
            return found
        raise _Stop(found.position, f"Syntax error: mismatched input {found.shown} expecting '{kind}'")

    def end(self) -> None:
        rest = self.next
        if rest.kind != "end":
            word = "extraneous" if self.tokens[self.at + 1].kind == "end" else "mismatched"
            raise _Stop(rest.position, f"Syntax error: {word} input {rest.shown} expecting <EOF>")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise _Stop(self.next.position, f"expression recursion limit exceeded: {DEPTH_MAX}")

    def expression(self, binding: int = -1) -> Node:
        """An expression of operators that bind tighter than `binding`; -1 takes a conditional as well."""
        depth = self.depth
        self.deeper()
        self.deeper()
        left = self.unary()
        while True:
            token = self.next
            operator = OPERATORS.get(token.kind)
            if operator is not None and operator[1] > binding:
                self.take()
                self.deeper()  # a chain leans to the left, one level for each operator
                left = Call(token.position, operator[0], [left, self.expression(operator[1])])
            elif token.kind in ("&&", "||") and (power := 2 if token.kind == "&&" else 1) > binding:
                terms = [left]
                while self.next.kind == token.kind:
                    self.take()
                    terms.append(self.expression(power))
                left = Logic(token.position, token.kind, terms)
            elif token.kind == "?" and binding < 0:
                self.take()
                then = self.expression(0)
                self.expect(":")
                left = Call(token.position, "_?_:_", [left, then, self.expression()])
                break
            else:
                break
        self.depth = depth
        return left

    def unary(self) -> Node:
        first = self.next
        if first.kind == "!":
            odd = False
            while self.next.kind == "!":
                self.take()
                odd = not odd
            operand = self.members()
            return Call(first.position, "!_", [operand]) if odd else operand
        if first.kind == "-":
            odd = False
            while self.next.kind == "-":
                last = self.take()
                if self.next.kind in ("int", "float"):
                    literal = self.literal(number, self.take(), "-")
                    operand = self.members(Literal(last.position, literal))
                    break
                odd = not odd
            else:
                operand = self.members()
            return Call(first.position, "-_", [operand]) if odd else operand
        return self.members()

    def members(self, node: Node | None = None) -> Node:
        """A primary expression and what hangs on it: `.field`, `.method(...)`, `[index]`, `{fields}`."""
        node = self.primary() if node is None else node
        depth = self.depth
        while True:
            token = self.next
            if token.kind == ".":
                self.take()
                node = self.member(node, token)
            elif token.kind == "[":
                self.take()
                optional = self.optional()
                index = self.expression()
                self.expect("]")
                node = Call(token.position, "_[?_]" if optional else "_[_]", [node, index])
            elif token.kind == "{" and (name := qualified_name(node)):
                self.take()
                node = StructOf(token.position, name, self.fields())
            else:
                self.depth = depth
                return node
            self.deeper()

    def member(self, node: Node, dot: Token) -> Node:
        optional = self.optional()
        name = self.take()
        if name.kind != "ident":
            raise _Stop(name.position, f"Syntax error: no viable alternative at input '.{name.text}'")
        if self.next.kind == "(" and not optional:
            opening = self.take()
            return self.call(opening.position, name.text, self.arguments(), node)
        return Select(dot.position, node, name.text, optional=optional)

    def optional(self) -> bool:
        if self.next.kind != "?":
            return False
        self.take()
        return True

    def primary(self) -> Node:
        token = self.take()
        (kind, position) = (token.kind, token.position)
        if kind == "ident" or (kind == "." and self.next.kind == "ident"):
            name = token if kind == "ident" else self.take()
            if self.next.kind == "(":
                return self.call(self.take().position, name.text, self.arguments(), None)
            if name.text in _RESERVED:
                self.issues.append(Issue(name.position, f"reserved identifier: {name.text}"))
            return Ident(name.position, name.text)
        if kind in ("int", "uint", "float"):
            return Literal(position, self.literal(number, token))
        if kind == "string":
            return Literal(position, self.literal(string, token.text))
        if kind == "bytes":
            return Literal(position, self.literal(bytes_literal, token.text))
        if kind in _CONSTANTS:
            return Literal(position, _CONSTANTS[kind])
        if kind == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if kind == "[":
            return self.list_literal(position)
        if kind == "{":
            return self.map_literal(position)
        if kind != "end" and (self.next.kind in _BEGIN or self.next.kind in _CONSTANTS):
            self.issues.append(Issue(position, f"Syntax error: extraneous input {token.shown} expecting {_START}"))
            return self.primary()
        raise _Stop(position, f"Syntax error: mismatched input {token.shown} expecting {_START}")

    def literal(self, convert: object, *given: object) -> object:
        try:
            return convert(*given)  # type: ignore[operator]
        except BadLiteral as bad:
            self.issues.append(Issue(self.tokens[self.at - 1].position, str(bad)))
            return 0

    def call(self, position: int, name: str, args: list[Node], target: Node | None) -> Node:
        macro = MACROS.get((name, target is not None, len(args)))
        if macro is not None:
            try:
                expanded = macro(position, name, target, args)
            except BadMacro as bad:
                self.issues.append(Issue(bad.position, bad.message))
                expanded = Literal(position, None)
            if expanded is not None:
                return expanded
        return Call(position, name, args, target)

    def arguments(self) -> list[Node]:
        """Up to and with the closing parenthesis."""
        found: list[Node] = []
        if self.next.kind == ")":
            self.take()
            return found
        while True:
            found.append(self.expression())
            if self.next.kind != ",":
                self.expect(")")
                return found
            self.take()

    def list_literal(self, position: int) -> Node:
        elements: list[Node] = []
        optional: list[bool] = []
        while self.next.kind != "]":
            optional.append(self.optional())
            elements.append(self.expression())
            if self.next.kind != ",":
                break
            self.take()
        self.expect("]")
        return ListOf(position, elements, optional)

    def map_literal(self, position: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while self.next.kind != "}":
            optional = self.optional()
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression(), optional))
            if self.next.kind != ",":
                break
            self.take()
        self.expect("}")
        return MapOf(position, entries)

    def fields(self) -> list[tuple[str, Node, bool, int]]:
        entries: list[tuple[str, Node, bool, int]] = []
        while self.next.kind != "}":
            optional = self.optional()
            name = self.expect("ident")
            colon = self.expect(":")
            entries.append((name.text, self.expression(), optional, colon.position))
            if self.next.kind != ",":
                break
            self.take()
        self.expect("}")
        return entries
