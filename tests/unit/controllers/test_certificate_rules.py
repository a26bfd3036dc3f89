"""Which certificate requests Kubernetes' signers sign, and how long requests are kept."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.aio.clock import parse_rfc3339, rfc3339
from wherry.api.certificate_request import Names
from wherry.controllers.certificates.lifetime import removed_at
from wherry.controllers.certificates.rules import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, is_node_client, problem

NODE = Names("system:node:n1", ("system:nodes",))
SERVING = Names("system:node:n1", ("system:nodes",), dns=("n1",))
CLIENT_USAGES = ["digital signature", "client auth"]
SERVING_USAGES = ["key encipherment", "digital signature", "server auth"]
BORN = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("signer", "names", "usages", "text"),
    [
        (CLIENT, Names("jane", ("devs",)), ["client auth"], ""),
        (CLIENT, Names("jane", ()), ["server auth"], "invalid usage for client certificate: server auth"),
        (
            CLIENT,
            Names("jane", ()),
            ["digital signature"],
            "missing required usage for client certificate: client auth",
        ),
        (KUBELET_CLIENT, NODE, CLIENT_USAGES, ""),
        (KUBELET_CLIENT, NODE, [*CLIENT_USAGES, "key encipherment"], ""),
        (
            KUBELET_CLIENT,
            NODE,
            ["client auth"],
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (KUBELET_CLIENT, SERVING, CLIENT_USAGES, "DNS subjectAltNames are not allowed"),
        (
            KUBELET_CLIENT,
            Names("n1", ("system:nodes",)),
            CLIENT_USAGES,
            "subject common name does not begin with system:node: ",
        ),
        (
            KUBELET_CLIENT,
            Names("system:node:n1", ("a", "b")),
            CLIENT_USAGES,
            "subject organization is not system:nodes",
        ),
        (KUBELET_SERVING, SERVING, SERVING_USAGES, ""),
        (KUBELET_SERVING, NODE, SERVING_USAGES, "DNS or IP subjectAltName is required"),
        (
            KUBELET_SERVING,
            Names("system:node:n1", ("system:nodes",), addresses=("10.0.0.1",), uris=("spiffe://a",)),
            SERVING_USAGES,
            "URI subjectAltNames are not allowed",
        ),
    ],
)
def test_what_is_signed(signer: str, names: Names, usages: list[str], text: str) -> None:
    assert problem(signer, names, usages) == text


def test_only_a_nodes_client_certificate_is_approved_unasked() -> None:
    assert is_node_client({"spec": {"signerName": KUBELET_CLIENT, "usages": CLIENT_USAGES}}, NODE)
    assert not is_node_client({"spec": {"signerName": CLIENT, "usages": CLIENT_USAGES}}, NODE)
    assert not is_node_client({"spec": {"signerName": KUBELET_SERVING, "usages": SERVING_USAGES}}, SERVING)


def condition(kind: str, hours: float) -> dict[str, Any]:
    return {"type": kind, "status": "True", "lastUpdateTime": rfc3339(parse_rfc3339(BORN) + hours * 3600)}


@pytest.mark.parametrize(
    ("status", "hours"),
    [
        ({}, 24),
        ({"conditions": [condition("Approved", 2)]}, 24),
        ({"conditions": [condition("Denied", 2)]}, 3),
        ({"conditions": [condition("Approved", 2), condition("Failed", 4)]}, 5),
        ({"conditions": [condition("Approved", 2)], "certificate": "bm90IG9uZQ=="}, 3),
    ],
)
def test_how_long_a_request_is_kept(status: dict[str, Any], hours: float) -> None:
    request = {"metadata": {"creationTimestamp": BORN}, "status": status}
    assert removed_at(request) - parse_rfc3339(BORN) == hours * 3600
