"""What no cluster may be without comes back while the server runs, and nothing is written when nothing is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from world import World, world

from wherry.aio.clock import rfc3339
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    FLOW_SCHEMAS,
    NAMESPACES,
    PRIORITY_LEVELS,
    SERVICES,
)
from wherry.api.types import GVR, Obj
from wherry.apiserver.bootstrap import keeper
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects, kept_objects
from wherry.apiserver.bootstrap.repairs import AUTO_UPDATE_SPEC

CA, OTHER_CA = "-----BEGIN CERTIFICATE-----\nours\n", "-----BEGIN CERTIFICATE-----\ntheirs\n"


@asynccontextmanager
async def kept() -> AsyncIterator[World]:
    """A world in which everything is as it should be and the keeper is at work."""
    async with world(nodes=0) as w:
        options = BootstrapOptions(
            rfc3339(w.clock.time()), w.scheme, endpoint_address="10.244.0.1", client_ca=CA, front_proxy_ca=CA
        )
        await ensure(w.client, w.scheme, bootstrap_objects(options))
        controller = keeper.build(w.client, w.factory, w.clock, w.scheme, kept_objects(options))
        w.started.append(asyncio.create_task(controller.run()))
        await asyncio.sleep(1)
        yield w


async def back(w: World, gvr: GVR, name: str, namespace: str, uid: str) -> Obj:
    async def other() -> Obj | None:
        found = await w.get(gvr, name, namespace)
        return found if found is not None and found["metadata"]["uid"] != uid else None

    found: Obj = await w.until(other)
    return found


async def changed(w: World, gvr: GVR, name: str, patch: Obj, namespace: str | None = None) -> Obj:
    """The object some time after it was changed."""
    await w.client.patch(gvr, name, patch, namespace, type="merge")
    await asyncio.sleep(1)
    return await w.client.get(gvr, name, namespace)


def test_nothing_is_written_when_nothing_is_wrong() -> None:
    async def main() -> None:
        async with kept() as w:
            before = w.storage.revision
            await asyncio.sleep(3600)
            assert w.storage.revision == before

    run_virtual(main())


@pytest.mark.parametrize(
    ("gvr", "namespace", "name", "same"),
    [
        (NAMESPACES, "", "kube-node-lease", None),
        (SERVICES, "default", "kubernetes", "spec"),
        (ENDPOINTS, "default", "kubernetes", "subsets"),
        (ENDPOINT_SLICES, "default", "kubernetes", "endpoints"),
        (FLOW_SCHEMAS, "", "exempt", "spec"),
        (FLOW_SCHEMAS, "", "system-nodes", "spec"),
        (PRIORITY_LEVELS, "", "catch-all", "spec"),
        (CONFIG_MAPS, "kube-system", "extension-apiserver-authentication", "data"),
    ],
)
def test_what_is_deleted_comes_back(gvr: GVR, namespace: str, name: str, same: str | None) -> None:
    async def main() -> None:
        async with kept() as w:
            before = await w.client.get(gvr, name, namespace or None)
            await w.client.delete(gvr, name, namespace or None)
            after = await back(w, gvr, name, namespace, before["metadata"]["uid"])
            assert same is None or after[same] == before[same]

    run_virtual(main())


def test_a_suggested_schema_belongs_to_who_the_annotation_says() -> None:
    async def main() -> None:
        async with kept() as w:
            spec = {"matchingPrecedence": 7000}
            restored = await changed(w, FLOW_SCHEMAS, "service-accounts", {"spec": spec})
            assert restored["spec"]["matchingPrecedence"] == 9000
            mine: Obj = {"metadata": {"annotations": {AUTO_UPDATE_SPEC: "false"}}, "spec": spec}
            assert (await changed(w, FLOW_SCHEMAS, "service-accounts", mine))["spec"]["matchingPrecedence"] == 7000
            # Without the annotation it is whose spec it is: somebody changed it, so it is theirs, and says so.
            unsaid: Obj = {"metadata": {"annotations": {AUTO_UPDATE_SPEC: None}}}
            after = await changed(w, FLOW_SCHEMAS, "service-accounts", unsaid)
            assert after["metadata"]["annotations"] == {AUTO_UPDATE_SPEC: "false"}
            assert after["spec"]["matchingPrecedence"] == 7000

    run_virtual(main())


def test_what_nobody_suggests_any_more_goes_if_it_was_the_servers() -> None:
    async def main() -> None:
        async with kept() as w:
            model = await w.client.get(FLOW_SCHEMAS, "probes")
            for name, annotations in (("mine", {}), ("old", {AUTO_UPDATE_SPEC: "true"})):
                metadata = {"name": name, "annotations": annotations}
                await w.client.create(FLOW_SCHEMAS, {**model, "metadata": metadata})
            await asyncio.sleep(1)
            assert await w.get(FLOW_SCHEMAS, "old", "") is None
            assert await w.get(FLOW_SCHEMAS, "mine", "") is not None

    run_virtual(main())


def test_where_the_api_is_found_is_put_right() -> None:
    async def main() -> None:
        async with kept() as w:
            wrong = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 1}]}]
            after = await changed(w, ENDPOINTS, "kubernetes", {"subsets": wrong}, "default")
            assert after["subsets"][0]["addresses"] == [{"ip": "10.244.0.1"}]

    run_virtual(main())


def test_who_else_is_trusted_stays_trusted() -> None:
    async def main() -> None:
        async with kept() as w:
            data = {
                "client-ca-file": OTHER_CA,
                "requestheader-allowed-names": '["other"]',
                "requestheader-username-headers": "no list",
                "more": "x",
            }
            name = "extension-apiserver-authentication"
            after = await changed(w, CONFIG_MAPS, name, {"data": data}, "kube-system")
            assert after["data"]["client-ca-file"] == OTHER_CA + CA
            assert after["data"]["requestheader-allowed-names"] == '["other", "front-proxy-client"]'
            assert after["data"]["requestheader-username-headers"] == '["X-Remote-User"]'
            assert after["data"]["more"] == "x"

    run_virtual(main())


def refused(error: StatusError) -> tuple[int, str]:
    return error.code, error.message


def test_the_mandatory_ones_may_not_be_changed() -> None:
    async def main() -> None:
        async with kept() as w:
            cases: list[tuple[GVR, str, Any, str]] = [
                (
                    FLOW_SCHEMAS,
                    "catch-all",
                    {"matchingPrecedence": 9999},
                    "spec of 'catch-all' must equal the fixed value",
                ),
                (
                    PRIORITY_LEVELS,
                    "catch-all",
                    {"limited": {"nominalConcurrencyShares": 9}},
                    "spec of 'catch-all' must equal the fixed value",
                ),
                (
                    PRIORITY_LEVELS,
                    "exempt",
                    {"type": "Limited", "exempt": None, "limited": {"limitResponse": {"type": "Reject"}}},
                    "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
                ),
            ]
            for gvr, name, spec, text in cases:
                with pytest.raises(StatusError) as caught:
                    await w.client.patch(gvr, name, {"spec": spec}, type="merge")
                code, message = refused(caught.value)
                assert code == 422
                assert message.endswith(text) or f"{text}]" in message, message
            tuned = await changed(w, PRIORITY_LEVELS, "exempt", {"spec": {"exempt": {"lendablePercent": 50}}})
            assert tuned["spec"]["exempt"]["lendablePercent"] == 50

    run_virtual(main())


def test_the_refusal_shows_the_spec_as_kubernetes_does() -> None:
    async def main() -> None:
        async with kept() as w:
            with pytest.raises(StatusError) as caught:
                await w.client.patch(
                    PRIORITY_LEVELS, "catch-all", {"spec": {"limited": {"lendablePercent": 1}}}, type="merge"
                )
            shown = (
                'spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":5,"LimitResponse":'
                '{"Type":"Reject","Queuing":null},"LendablePercent":1,"BorrowingLimitPercent":null},"Exempt":null}: '
            )
            assert shown in caught.value.message

    run_virtual(main())
