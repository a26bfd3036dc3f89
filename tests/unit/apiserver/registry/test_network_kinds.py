"""Ingresses, their classes, ServiceCIDRs, IPAddresses, devices: what Kubernetes refuses of them, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import DROP, Probe
from recorded_exchanges import World

from wherry.api.types import GVR

NETWORKING, RESOURCE = "networking.k8s.io", "resource.k8s.io"
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
PATH = "spec.rules[0].http.paths[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DEVICES = {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}
PROBES = {
    "ingress": Probe(
        GVR(NETWORKING, "v1", "ingresses"),
        {"spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]}},
    ),
    "class": Probe(GVR(NETWORKING, "v1", "ingressclasses"), {"spec": {"controller": "example.com/c"}}),
    "cidr": Probe(GVR(NETWORKING, "v1", "servicecidrs"), {"spec": {"cidrs": ["10.9.0.0/16"]}}),
    "address": Probe(
        GVR(NETWORKING, "v1", "ipaddresses"), {"spec": {"parentRef": {"resource": "services", "name": "s"}}}, "10.9.0.1"
    ),
    "endpoints": Probe(
        GVR("discovery.k8s.io", "v1", "endpointslices"),
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []},
    ),
    "policy": Probe(GVR(NETWORKING, "v1", "networkpolicies"), {"spec": {"podSelector": {}}}),
    "claim": Probe(GVR(RESOURCE, "v1", "resourceclaims"), {"spec": {"devices": DEVICES}}),
    "template": Probe(GVR(RESOURCE, "v1", "resourceclaimtemplates"), {"spec": {"spec": {"devices": DEVICES}}}),
    "devices": Probe(GVR(RESOURCE, "v1", "deviceclasses"), {"spec": {}}),
    "slice": Probe(
        GVR(RESOURCE, "v1", "resourceslices"),
        {
            "spec": {
                "driver": "d",
                "nodeName": "n",
                "pool": {"name": "p", "resourceSliceCount": 1},
                "devices": [{"name": "a"}],
            }
        },
    ),
}
REFUSED: list[tuple[str, str, Any, str]] = [
    ("ingress", "spec.rules", [], "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    ("ingress", "spec.rules[0].host", "1.2.3.4", ('spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an '
     "IP address")),
    ("ingress", "spec.rules[0].host", "a.*.b", ("spec.rules[0].host: Invalid value: \"a.*.b\": a wildcard DNS-1123 subdomain "
     "must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or "
     "'.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is "
     "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")),
    ("ingress", f"{PATH}.pathType", DROP, f"{PATH}.pathType: Required value: pathType must be specified"),
    ("ingress", f"{PATH}.pathType", "X",
     f'{PATH}.pathType: Unsupported value: "X": supported values: "Exact", "ImplementationSpecific", "Prefix"'),
    ("ingress", f"{PATH}.path", "a//b/..", (f'{PATH}.path: Invalid value: "a//b/..": must be an absolute path\n'
     f"{PATH}.path: Invalid value: \"a//b/..\": must not contain '//'\n"
     f"{PATH}.path: Invalid value: \"a//b/..\": cannot end with '/..'")),
    ("ingress", f"{PATH}.backend", {}, f'{PATH}.backend: Invalid value: "": resource or service backend is required'),
    ("ingress", f"{PATH}.backend.service.port", {},
     f"{PATH}.backend: Required value: port name or number is required"),
    ("ingress", f"{PATH}.backend", {"resource": {"kind": "", "name": "a/b"}},
     (f"{PATH}.backend.resource.kind: Required value: kind is required\n"
     f"{PATH}.backend.resource.name: Invalid value: \"a/b\": may not contain '/'")),
    ("class", "spec.controller", "x", ('spec.controller: Invalid value: "x": must be a domain-prefixed path (such as '
     '"acme.io/foo")')),
    ("class", "spec.parameters", {"kind": "K", "name": "n", "scope": "Namespace"},
     "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"),
    ("cidr", "spec.cidrs", [], "spec.cidrs: Required value: at least one CIDR required"),
    ("cidr", "spec.cidrs", ["10.9.0.1/16"],
     'spec.cidrs[0]: Invalid value: "10.9.0.1/16": must not have bits set beyond the prefix length'),
    ("cidr", "spec.cidrs", ["10.0.0.0/16", "10.1.0.0/16"], ('spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/16",'
     '"10.1.0.0/16"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64')),
    ("address", "metadata", {"name": "a"}, ('metadata.name: Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 '
     "or 2001:db8::ffff)")),
    ("address", "metadata", {"name": "2001:DB8::1"},
     'metadata.name: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")'),
    ("address", "spec.parentRef", DROP, "spec.parentRef: Required value"),
    ("policy", "spec.ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.1/16"]}}]}],
     'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.1.0.1/16": must not have bits set beyond the prefix length'),
    ("endpoints", "endpoints[0].hints", {"forZones": [{"name": "a"}, {"name": "a"}]},
     'endpoints[0].hints.forZones[1].name: Duplicate value: "a"'),
    ("endpoints", "endpoints[0].addresses", [], "endpoints[0].addresses: Required value: must contain at least 1 address"),
    ("endpoints", "endpoints[0].addresses[0]", "127.0.0.1", ('endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not '
     "be in the loopback range (127.0.0.0/8, ::1/128)")),
    ("claim", "spec.devices.requests[0].name", "R", f'spec.devices.requests[0].name: Invalid value: "R": {LABEL}'),
    ("claim", "spec.devices.requests[0].exactly", DROP,
     "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"),
    ("claim", "spec.devices.requests[0].exactly.deviceClassName", "",
     "spec.devices.requests[0].exactly.deviceClassName: Required value"),
    ("claim", "spec.devices.requests[0].exactly.count", -1,
     "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"),
    ("claim", "spec.devices.config", [{"requests": ["q"], "opaque": {"driver": "d", "parameters": {}}}],
     ('spec.devices.config[0].requests[0]: Invalid value: "q": must be the name of a request in the claim or the name of a '
     "request and a subrequest separated by '/'")),
    ("template", "spec.metadata", {"name": "n"}, "spec.metadata.name: Forbidden: cannot be set"),
    ("devices", "spec.selectors", [{}], "spec.selectors[0].cel: Required value"),
    ("devices", "spec.extendedResourceName", "gpu",
     'spec.extendedResourceName: Invalid value: "gpu": must be a valid extended resource name'),
    ("slice", "spec.nodeName", DROP, ("spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
     "`perDeviceNodeSelection` is required")),
    ("slice", "spec.allNodes", True, ('spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, '
     "`nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set")),
    ("slice", "spec.devices[1]", {"name": "a"}, 'spec.devices[1]: Duplicate value: "a"'),
    ("slice", "spec.devices[0].attributes", {"v": {"version": "1"}}, ("spec.devices[0].attributes[v].version: Invalid value: "
     '"1": must be a string compatible with semver.org spec 2.0.0')),
]  # fmt: skip
KEPT: list[tuple[str, str, Any, str]] = [
    ("endpoints", "addressType", "IPv6", 'addressType: Invalid value: "IPv6": field is immutable'),
    ("class", "spec.controller", "a.b/c", 'spec.controller: Invalid value: "a.b/c": field is immutable'),
    ("cidr", "spec.cidrs", ["10.8.0.0/16"], 'spec.cidrs: Invalid value: ["10.8.0.0/16"]: field is immutable'),
    ("address", "spec.parentRef.name", "t", ('spec.parentRef: Invalid value: {"resource":"services","name":"t"}: field is '
     "immutable")),
    ("slice", "spec.driver", "e", 'spec.driver: Invalid value: "e": field is immutable'),
    ("slice", "spec.pool.generation", 2, ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].refuses(world, path, value, expected)


@pytest.mark.parametrize(("kind", "path", "value", "expected"), KEPT)
async def test_kept(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].keeps(world, path, value, expected)


async def test_defaults_of_requests_for_devices(world: World) -> None:
    claim = await PROBES["claim"].create(world)
    wanted = {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}
    assert claim["spec"]["devices"]["requests"][0]["exactly"] == wanted
    template = await PROBES["template"].create(world)
    assert template["spec"]["spec"] == claim["spec"]


async def test_annotation_and_class_of_an_ingress_must_agree(world: World) -> None:
    probe = PROBES["ingress"]
    annotations = {"metadata": {"name": "y", "annotations": {"kubernetes.io/ingress.class": "a"}}}
    both = Probe(probe.gvr, {**probe.body, **annotations})
    expected = 'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match '
    expected += "`ingressClassName` when both are specified"
    await both.refuses(world, "spec.ingressClassName", "b", expected)
