"""What type checking says in a policy's status."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from api_core import Server, make_server

from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
RULE = {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
UNDEFINED = """apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'
 | object.replicas > 1
 | ......^"""


def policy(*expressions: str, **more: Any) -> Obj:
    validations = [{"expression": each} for each in expressions]
    return {
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": validations, **more},
    }


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Server]:
    server = await make_server()
    task = asyncio.create_task(server.app.run())
    try:
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def status_of(body: Obj, update: Obj | None = None) -> Obj:
    async with running() as server:
        said = await server.ask("POST", POLICIES, body)
        assert said.body["status"] == {}
        await asyncio.sleep(1)
        if update is not None:
            await server.ask("PATCH", f"{POLICIES}/p", update, content_type="application/merge-patch+json")
            await asyncio.sleep(1)
        status: Obj = (await server.ask("GET", f"{POLICIES}/p")).body["status"]
        return status


def test_fields_a_kind_does_not_have() -> None:
    found = {"fieldRef": "spec.validations[1].expression", "warning": UNDEFINED}
    status = run_virtual(status_of(policy("object.spec.replicas > 1", "object.replicas > 1")))
    assert status == {"observedGeneration": 1, "typeChecking": {"expressionWarnings": [found]}}


def test_a_policy_that_is_mended() -> None:
    better = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
    assert run_virtual(status_of(policy("object.replicas > 1"), better)) == {
        "observedGeneration": 2,
        "typeChecking": {},
    }


def test_what_is_typed_and_what_is_not() -> None:
    fine = (
        "object.spec.template.spec.containers.all(c, c.image.startsWith('x') && !has(c.securityContext.privileged))",
        "object.metadata.labels['a'] == 'b'",
        "oldObject == null || object.kind == oldObject.kind",
        "object.spec.strategy.rollingUpdate.maxSurge == 1",
        "variables.n > 1",
        "params.data['x'] == 'y'",
    )
    more = {
        "variables": [{"name": "n", "expression": "object.spec.replicas"}],
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
    }
    assert run_virtual(status_of(policy(*fine, **more)))["typeChecking"] == {}
    wrong = ("params.wrong == 'y'", "object.metadata.name == 5", "variables.n == 'x'")
    status = run_virtual(status_of(policy(*wrong, **more)))
    texts = [
        each["warning"].splitlines()[0].partition("ERROR: ")[2] for each in status["typeChecking"]["expressionWarnings"]
    ]
    assert texts == [
        "<input>:1:7: undefined field 'wrong'",
        "<input>:1:22: found no matching overload for '_==_' applied to '(string, int)'",
        "<input>:1:13: found no matching overload for '_==_' applied to '(int, string)'",
    ]
