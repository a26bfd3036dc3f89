"""Custom resources are admitted like all others: webhooks and policies see them in the version they know."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from webhook_world import GROUP, Callee, configure, hook, patching

from wherry.aio.virtual import run_virtual

sys.path.insert(0, str(Path(__file__).parents[1] / "extensions"))
from custom_api import WIDGETS, definition, serving, version, widget

RULES = [{"apiGroups": ["example.com"], "apiVersions": ["v2"], "operations": ["*"], "resources": ["widgets"]}]
TWO = (version("v1"), version("v2", storage=False))


def test_another_version_is_shown_and_taken_back() -> None:
    async def main() -> None:
        async with serving(definition(*TWO)) as server:
            callee = server.app.core.outward = Callee()
            callee.answers["a"] = patching({"op": "replace", "path": "/spec/size", "value": 4})
            await configure(server, "Mutating", "m", hook("a", rules=RULES))
            said = await server.ask("POST", WIDGETS, widget(spec={"size": 2}))
            assert (said.status, said.body["apiVersion"], said.body["spec"]["size"]) == (201, "example.com/v1", 4)
            request = callee.asked[0][1]
            assert request["object"]["apiVersion"] == "example.com/v2"
            assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v2", "v1")

    run_virtual(main())


def test_what_only_a_webhook_could_convert_is_refused_not_let_through() -> None:
    client = {"url": "https://conversion.example.com/convert"}
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}

    async def main() -> None:
        async with serving(definition(*TWO, conversion=conversion)) as server:
            server.app.core.outward = Callee()
            await configure(server, "Validating", "v", hook("a", rules=RULES))
            said = await server.ask("POST", WIDGETS, widget())
            assert said.status == 500
            assert "unable to convert to example.com/v2, Resource=widgets" in said.message

    run_virtual(main())


@pytest.mark.parametrize(("size", "status"), [(2, 201), (5, 422)])
def test_policies_judge_what_will_be_stored(size: int, status: int) -> None:
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": RULES},
        "validations": [{"expression": "object.spec.size < 4 && object.apiVersion == 'example.com/v2'"}],
    }

    async def main() -> None:
        async with serving(definition(*TWO)) as server:
            await server.ask("POST", f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
            binding = {"policyName": "p", "validationActions": ["Deny"]}
            path = f"{GROUP}/validatingadmissionpolicybindings"
            await server.ask("POST", path, {"metadata": {"name": "b"}, "spec": binding})
            assert (await server.ask("POST", WIDGETS, widget(spec={"size": size}))).status == status

    run_virtual(main())
