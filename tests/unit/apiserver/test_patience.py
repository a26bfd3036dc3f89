"""Rules that take seconds keep nobody else waiting, and give what they would have given at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from api_core import Server, make_server

from wherry.aio.trial import CURRENT, TooHeavy, spend, trial
from wherry.aio.virtual import run_virtual
from wherry.apiserver.patience import TRIAL_UNITS, judged, on_loop
from wherry.cel import DYN, Budget, CostExceeded, Environment, compile

ENVIRONMENT = Environment({"self": DYN})
NESTED = "self.all(x, self.all(y, x + y >= 0))"
GROUP = "/apis/admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}


def test_a_trial_ends_work_and_the_budget_knows_what_it_took() -> None:
    program, budget = compile(NESTED, ENVIRONMENT), Budget(10_000_000)
    with trial(1000), pytest.raises(TooHeavy):
        program.evaluate({"self": list(range(1000))}, budget)
    assert 0 < 10_000_000 - budget.remaining < 2000
    with trial(1000):
        assert program.evaluate({"self": [1, 2]}, budget) is True
    with trial(1000), pytest.raises(TooHeavy):
        compile(f"{NESTED} || {'true || ' * 100} false", ENVIRONMENT)
    assert CURRENT.get() is None


def test_a_budget_that_ends_within_the_trial_is_the_budgets_end() -> None:
    program, budget = compile(NESTED, ENVIRONMENT), Budget(100)
    with trial(1000), pytest.raises(CostExceeded):
        program.evaluate({"self": list(range(1000))}, budget)
    assert budget.remaining < 0


async def test_light_work_is_done_here_and_heavy_work_in_a_thread() -> None:
    async def where(units: int) -> int:
        def work() -> int:
            spend(units)
            return threading.get_ident()

        return await judged(work)

    here = threading.get_ident()
    assert await where(TRIAL_UNITS) == here
    assert await where(TRIAL_UNITS + 1) != here


async def test_errors_of_heavy_work_are_the_callers() -> None:
    def work() -> None:
        spend(TRIAL_UNITS + 1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await judged(work)


def test_where_time_is_made_there_are_no_threads() -> None:
    async def main() -> int:
        def work() -> int:
            spend(TRIAL_UNITS + 1)
            return threading.get_ident()

        return await judged(work)

    assert run_virtual(main()) == threading.get_ident()


async def test_the_loop_is_asked_from_the_thread() -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()

    def work() -> int:
        spend(TRIAL_UNITS + 1)
        return on_loop(loop, threading.get_ident)

    assert await judged(work) == here
    assert on_loop(loop, threading.get_ident) == here

    def failing() -> None:
        spend(TRIAL_UNITS + 1)
        on_loop(loop, lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        await judged(failing)


async def heavy_policies() -> Server:
    """A server on which who has no business with `a` pays 350,000 units to be told so, and everybody more."""
    server = await make_server()
    spec = {
        "matchConstraints": {"resourceRules": [RULE]},
        "variables": [{"name": "many", "expression": "object.data.all(x, object.data.all(y, x + y != ''))"}],
        "validations": [
            {"expression": "variables.many", "message": "never said"},
            {"expression": "authorizer.group('').resource('configmaps').namespace('shop').check('get').allowed()"},
            {"expression": "!has(object.data.bad)", "messageExpression": "'bad in ' + object.metadata.name"},
        ],
    }
    binding = {"policyName": "heavy", "validationActions": ["Deny"]}
    for plural, its in (("policies", spec), ("policybindings", binding)):
        said = await server.ask(
            "POST", f"{GROUP}/validatingadmission{plural}", {"metadata": {"name": "heavy"}, "spec": its}
        )
        assert said.status == 201, said.body
    return server


@pytest.mark.parametrize("keys", [2, 200])
async def test_policies_light_and_heavy_decide_alike(keys: int) -> None:
    server = await heavy_policies()
    data = {f"k{number}": "v" for number in range(keys)}
    target = "/api/v1/namespaces/shop/configmaps"
    said = await server.ask("POST", target, {"metadata": {"name": "good"}, "data": data})
    assert said.status == 201, said.body
    said = await server.ask("POST", target, {"metadata": {"name": "b"}, "data": {**data, "bad": "x"}})
    assert (said.status, said.message.endswith("denied request: bad in b")) == (422, True), said.body


async def test_others_are_answered_while_heavy_rules_are_judged() -> None:
    server = await heavy_policies()
    data = {f"k{number}": "v" for number in range(300)}
    target = "/api/v1/namespaces/shop/configmaps"
    write = asyncio.create_task(server.ask("POST", target, {"metadata": {"name": "a"}, "data": data}))
    answered = 0
    while not write.done():
        assert (await server.ask("GET", "/api/v1/namespaces/shop")).status == 200
        answered += 1
        await asyncio.sleep(0)
    assert (await write).status == 201
    assert answered > 10


async def test_a_policy_of_long_expressions_is_compiled_beside_everything_else() -> None:
    server = await make_server()
    long = " && ".join(f"object.data.k{number} != 'x'" for number in range(600))
    spec = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": f"{long} && {number} == {number}"} for number in range(8)],
    }
    target = f"{GROUP}/validatingadmissionpolicies"
    write = asyncio.create_task(server.ask("POST", target, {"metadata": {"name": "long"}, "spec": spec}))
    answered = 0
    while not write.done():
        assert (await server.ask("GET", "/api/v1/namespaces/shop")).status == 200
        answered += 1
        await asyncio.sleep(0)
    assert (await write).status == 201
    assert answered > 10
