"""Whatever somebody calls a definition or an object: it is taken or refused, never a failure of ours."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from custom_api import DEFINITIONS, definition, established, serving, version, widget
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.aio.virtual import run_virtual

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "metadata", "kind"]), inner, max_size=3)
    ),
    max_leaves=6,
)
WORDS = ("string", "integer", "number", "boolean", "array", "object", "null", "", "date-time", "a")
PLAIN: dict[str, Any] = {
    "type": st.sampled_from(WORDS), "format": st.sampled_from(WORDS), "nullable": st.booleans(), "default": JSON,
    "enum": st.lists(JSON, max_size=3), "pattern": st.sampled_from(["^a", "(", "[[:alpha:]]", "a{2000}", "$"]),
    "minimum": st.integers(-3, 3), "maximum": st.floats(-3, 3), "multipleOf": st.sampled_from([0, -1, 0.1, 2]),
    "minLength": st.integers(-1, 3), "maxItems": st.integers(-1, 3), "required": st.lists(st.sampled_from("ab"), max_size=2),
    "x-kubernetes-preserve-unknown-fields": st.booleans(), "x-kubernetes-int-or-string": st.booleans(),
    "x-kubernetes-embedded-resource": st.booleans(), "x-kubernetes-list-type": st.sampled_from(["set", "map", "atomic", "x"]),
    "x-kubernetes-list-map-keys": st.lists(st.sampled_from("ab"), max_size=2),
    "x-kubernetes-map-type": st.sampled_from(["atomic", "granular", "x"]), "description": st.text(max_size=3),
}  # fmt: skip


def _more(inner: Any) -> Any:
    children = {
        "properties": st.dictionaries(st.sampled_from(["a", "b", "metadata"]), inner, max_size=3),
        "items": inner | st.lists(inner, max_size=1) | JSON,
        "additionalProperties": inner | st.booleans() | JSON,
        "allOf": st.lists(inner, max_size=2),
        "anyOf": st.lists(inner, max_size=2),
        "oneOf": st.lists(inner, max_size=2),
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional={**children, "type": st.sampled_from(WORDS), "default": JSON})


SCHEMAS = st.recursive(st.fixed_dictionaries({}, optional=PLAIN), _more, max_leaves=5)
TAME = st.recursive(
    st.one_of(
        st.sampled_from([{"type": "string"}, {"type": "integer", "default": 1}, {"type": "string", "nullable": True}]),
        st.just({"x-kubernetes-int-or-string": True}),
        st.just(
            {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
        ),
        st.just({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
    ),
    lambda inner: (
        st.builds(lambda a: {"type": "object", "properties": {"a": a}}, inner)
        | st.builds(lambda a: {"type": "array", "items": a}, inner)
        | st.builds(lambda a: {"type": "object", "additionalProperties": a}, inner)
    ),
    max_leaves=4,
)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(SCHEMAS, SCHEMAS)
def test_any_schema_is_taken_or_refused(schema: dict[str, Any], inner: dict[str, Any]) -> None:
    async def main() -> None:
        async with serving() as server:
            for each in (schema, {"type": "object", "properties": {"spec": inner}}):
                said = await server.ask("POST", f"{DEFINITIONS}?dryRun=All", definition(version(schema=each)))
                assert said.status in (201, 400, 422), said.body

    run_virtual(main())


@QUIET
@given(TAME, st.lists(JSON, min_size=1, max_size=4), st.integers())
def test_any_object_is_taken_or_refused(inner: dict[str, Any], values: list[Any], seed: int) -> None:
    schema = {"type": "object", "properties": {"spec": inner}}
    scale = {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a", "labelSelectorPath": ".status.b"}
    body = definition(version(schema=schema, subresources={"status": {}, "scale": scale}))
    path = "/apis/example.com/v1/namespaces/shop/widgets"

    async def main() -> None:
        async with serving() as server:
            made = await server.ask("POST", DEFINITIONS, body)
            assert made.status == 201, made.body
            await established(server, "widgets.example.com")
            for value in values:
                said = await server.ask("POST", path, widget("w", spec=value))
                assert said.status in (201, 409, 422), said.body
                kept = (await server.ask("GET", f"{path}/w")).body
                if said.status == 201:
                    assert {**kept, "metadata": {}} == {**said.body, "metadata": {}}
                    assert (await server.ask("PUT", f"{path}/w", kept)).status == 200
                for part in ("", "/status", "/scale"):
                    patch = random.Random(seed).choice([{"spec": value}, {"status": value}, {"spec": {"a": value}}])
                    said = await server.ask(
                        "PATCH", f"{path}/w{part}", patch, content_type="application/merge-patch+json"
                    )
                    assert said.status < 500, said.body
                table = await server.ask("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
                assert table.status == 200
            await asyncio.sleep(0)

    run_virtual(main())
