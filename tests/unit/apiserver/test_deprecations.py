"""Warnings per version of Kubernetes, and field labels as each group spells them."""

from __future__ import annotations

import pytest
from api_core import make_server

from wherry.api.types import GVR
from wherry.apiserver.deprecations import deprecation

FLOW = "flowcontrol.apiserver.k8s.io"


@pytest.mark.parametrize(
    ("gvr", "version", "expected"),
    [
        (GVR("", "v1", "endpoints"), "1.32", []),
        (GVR("", "v1", "endpoints"), "1.33", ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]),
        (GVR("", "v1", "componentstatuses"), "1.25", ["v1 ComponentStatus is deprecated in v1.19+"]),
        (GVR(FLOW, "v1beta3", "flowschemas"), "1.28", []),
        (
            GVR(FLOW, "v1beta3", "flowschemas"),
            "1.29",
            [f"{FLOW}/v1beta3 FlowSchema is deprecated in v1.29+, unavailable in v1.32+; use {FLOW}/v1 FlowSchema"],
        ),
        (
            GVR("storage.k8s.io", "v1beta1", "csistoragecapacities"),
            "1.25",
            [("storage.k8s.io/v1beta1 CSIStorageCapacity is deprecated in v1.24+, unavailable in v1.27+; use storage.k8s.io/v1 "
             "CSIStorageCapacity")],
        ),
        (GVR("apps", "v1", "deployments"), "1.36", []),
    ],
)  # fmt: skip
def test_deprecation(gvr: GVR, version: str, expected: list[str]) -> None:
    assert deprecation(gvr, version) == expected


async def test_events_are_selected_by_the_labels_of_the_group_that_is_spoken() -> None:
    server = await make_server()
    about = {"kind": "Pod", "namespace": "shop", "name": "cart"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "type": "Normal"}
    assert (await server.ask("POST", "/api/v1/namespaces/shop/events", event)).status == 201
    for path, label in (("/api/v1", "involvedObject.name"), ("/apis/events.k8s.io/v1", "regarding.name")):
        said = await server.ask("GET", f"{path}/events?fieldSelector={label}%3Dcart,type%3DNormal")
        assert [item["metadata"]["name"] for item in said.body["items"]] == ["e"]
        assert (await server.ask("GET", f"{path}/events?fieldSelector={label}%3Dother")).body["items"] == []
    said = await server.ask("GET", "/apis/events.k8s.io/v1/events?fieldSelector=involvedObject.name%3Dcart")
    assert (said.status, said.message) == (400, "field label not supported: involvedObject.name")
