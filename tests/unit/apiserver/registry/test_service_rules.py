"""Services: what Kubernetes refuses of addresses, types and annotations beyond the recorded exchanges, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import Probe, changed
from recorded_exchanges import NAMESPACE, World

from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.registry.scopes import SCOPES

SERVICES = GVR("", "v1", "services")
PORTS: list[Obj] = [{"port": 80}]
SERVICE = Probe(SERVICES, {"spec": {"ports": PORTS}})
EXTERNAL = Probe(SERVICES, {"spec": {"type": "ExternalName", "externalName": "a.b"}})
DUAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
ONE, TWO, SIX = "10.96.3.3", "10.96.3.4", "fd00::1"
RANGES = "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]"
REFUSED: list[tuple[Probe, str, Any, str]] = [
    (EXTERNAL, "spec.ipFamilies", ["IPv4"], "spec.ipFamilies: Forbidden: may not be set for ExternalName services"),
    (EXTERNAL, "spec.internalTrafficPolicy", "X",
     'spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'),
    (SERVICE, "spec.clusterIPs", [ONE],
     f'spec.clusterIPs: Invalid value: ["{ONE}"]: must be empty when `clusterIP` is not specified'),
    (SERVICE, "spec", {"ports": PORTS, "clusterIP": ONE, "clusterIPs": [ONE, TWO]},
     f'spec.clusterIPs: Invalid value: ["{ONE}","{TWO}"]: may specify no more than one IP for each IP family'),
    (SERVICE, "spec", {"ports": PORTS, "clusterIP": "None", "clusterIPs": ["None", TWO]},
     f"spec.clusterIPs: Invalid value: [\"None\",\"{TWO}\"]: 'None' must be the first and only value"),
    (SERVICE, "spec", {"ports": PORTS, "clusterIP": ONE, "clusterIPs": [ONE, SIX]},
     (f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {DUAL} cluster IPs are specified\n'
      f'spec.clusterIPs[1]: Invalid value: ["{ONE}","{SIX}"]: IPv6 is not configured on this cluster')),
    (SERVICE, "spec", {"ports": PORTS, "clusterIP": ONE, "ipFamilies": ["IPv6"]},
     f'spec.clusterIPs[0]: Invalid value: "{ONE}": expected an IPv6 value as indicated by `ipFamilies[0]`'),
    (SERVICE, "spec.ipFamilies", ["IPv4", "IPv4"], 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
    (SERVICE, "spec.ipFamilies", ["IPv5"],
     'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'),
    (SERVICE, "spec.externalIPs", ["0.0.0.0"],
     'spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)'),
    (SERVICE, "metadata", {"name": "x", "annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "1.2.3"}},
     (f"{RANGES}: Forbidden: may only be used when `type` is 'LoadBalancer'\n"
      f'{RANGES}: Invalid value: "1.2.3": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')),
    (SERVICE, "metadata", {"name": "x", "annotations": {"service.kubernetes.io/topology-mode": "Auto",
                                                        "service.kubernetes.io/topology-aware-hints": "Disabled"}},
     ('metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": '
      "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified")),
]  # fmt: skip


@pytest.mark.parametrize(("probe", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, probe: Probe, path: str, value: Any, expected: str) -> None:
    await probe.refuses(world, path, value, expected)


async def test_everything_wrong_with_a_new_address_is_said(world: World) -> None:
    body = changed(SERVICE.body, "spec.type", "NodePort")
    stored = await SERVICE.create(world, body)
    registry = world.registries[SERVICES]
    write = world.write(registry.resource, NAMESPACE, "", "x", False)
    with pytest.raises(StatusError) as caught:
        await registry.update(NAMESPACE, "x", lambda old: changed(old, "spec.clusterIP", "None"), write)
    assert caught.value.details is not None
    assert sorted(cause["message"] for cause in caught.value.details["causes"]) == [
        "Invalid value: \"None\": may not be set to 'None' for NodePort services",
        'Invalid value: ["None"]: may not change once set',
    ]
    assert stored["spec"]["clusterIP"] != "None"


async def test_an_external_name_may_keep_a_node_port_in_its_text(world: World) -> None:
    await EXTERNAL.create(world, changed(EXTERNAL.body, "spec.ports", [{"port": 80, "nodePort": 31000}]))


async def balanced(world: World, point: Obj) -> Obj:
    await SERVICE.create(world, changed(SERVICE.body, "spec.type", "LoadBalancer"))
    registry = world.registries[SERVICES]
    write = world.write(registry.resource, NAMESPACE, "status", "x", False)
    status = {"loadBalancer": {"ingress": [point]}}
    result = await registry.update(NAMESPACE, "x", lambda old: changed(old, "status", status), write, SCOPES["status"])
    found: Obj = result.value["status"]["loadBalancer"]["ingress"][0]
    return found


async def test_a_balancers_address_is_its_own_unless_said_otherwise(world: World) -> None:
    assert await balanced(world, {"ip": "1.2.3.4"}) == {"ip": "1.2.3.4", "ipMode": "VIP"}


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"ip": "1.2.3.4", "ipMode": "Z"}, 'Unsupported value: "Z": supported values: "Proxy", "VIP"'),
        ({"hostname": "h", "ipMode": "VIP"}, "may not be specified when `ip` is not set"),
    ],
)
async def test_how_a_balancer_is_reached(world: World, point: Obj, said: str) -> None:
    with pytest.raises(StatusError) as caught:
        await balanced(world, point)
    assert said in str(caught.value)
