"""One entry of x-kubernetes-validations, compiled against the place of the schema it stands at.

`self` and `oldSelf` have the type of that place, so unknown fields and wrong operators are found when the definition is written.
Nothing here knows of objects: `rule_tree.py` runs what is compiled, `rule_checks.py` reports what is not. Source: Kubernetes'
"Validation rules" of CustomResourceDefinitions.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from wherry import cel
from wherry.api.types import Obj
from wherry.cel.costs import estimate
from wherry.cel.kubernetes import RULES as LIBRARIES
from wherry.cel.schema_types import REQUEST_MAX, Shape, shape

NOT_BOOL: Final = "cel expression must evaluate to a bool"
NOT_STRING: Final = "messageExpression must evaluate to a string"


class Rule(Struct, frozen=True):
    """`program` or `error` is set; for a messageExpression `message` or `message_error`, or neither."""

    props: Obj
    program: cel.Program | None = None
    error: str = ""
    message: cel.Program | None = None
    message_error: str = ""

    @property
    def uses_old(self) -> bool:
        """A transition rule."""
        return self.program is not None and "oldSelf" in self.program.used

    @property
    def optional_old(self) -> bool:
        return bool(self.props.get("optionalOldSelf"))

    @property
    def shown(self) -> str:
        """What error texts call it."""
        return str(self.props.get("message") or "").strip() or str(self.props.get("rule") or "").strip()

    @property
    def cost(self) -> int:
        return estimate(self.program.tree) if self.program is not None else 0

    @property
    def message_cost(self) -> int:
        return estimate(self.message.tree) if self.message is not None else 0


class Place:
    """A place in a schema as rules see it. `shape` is None where CEL can see nothing."""

    __slots__ = ("_environments", "shape")

    def __init__(self, props: Obj, root: bool) -> None:
        self.shape: Shape | None = shape(props, root)
        self._environments: dict[bool, cel.Environment] = {}

    @property
    def cardinality(self) -> int:
        """How many values as small as they can be fit a request."""
        assert self.shape is not None
        return REQUEST_MAX // (self.shape.size + 1)

    def compile(self, props: Obj) -> Rule:
        """The rule's text is not empty."""
        environment = self._environment(bool(props.get("optionalOldSelf")))
        program, error = _compiled(str(props["rule"]).strip(), environment, cel.BOOL, NOT_BOOL)
        text = str(props.get("messageExpression") or "").strip()
        message, message_error = None, ""
        if text:
            message, message_error = _compiled(text, environment, cel.STRING, NOT_STRING)
            if message_error.startswith("compilation failed"):
                message_error = f"messageExpression {message_error}"
        return Rule(props, program, error, message, message_error)

    def _environment(self, optional: bool) -> cel.Environment:
        found = self._environments.get(optional)
        if found is None:
            assert self.shape is not None
            kind = self.shape.type
            variables = {"self": kind, "oldSelf": cel.optional_of(kind) if optional else kind}
            found = self._environments[optional] = cel.Environment(variables, LIBRARIES)
        return found

    def value(self, value: Any) -> Any:
        """A value at this place as CEL sees it. Raises cel.Failure for a date that is none, ..."""
        assert self.shape is not None
        return value if self.shape.convert is None or value is None else self.shape.convert(value)


def _compiled(
    text: str, environment: cel.Environment, wanted: cel.Type, otherwise: str
) -> tuple[cel.Program | None, str]:
    try:
        program = cel.compile(text, environment)
    except cel.CompileErrors as error:
        return None, str(error)
    return (program, "") if program.result_type == wanted else (None, otherwise)
