"""Which pods stand behind a Service, under which addresses and ports. Shared by what writes Endpoints and EndpointSlices.

Plain functions, and one class that turns pod events into Service keys and remembers who belongs to which Service.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.pods import is_finished, is_ready, is_terminating, phase
from wherry.reconcile.reconciler import Request

HEADLESS_LABEL = "service.kubernetes.io/headless"


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the Service's selector means the pod; a Service without selector means none."""
    selector = service["spec"].get("selector")
    if not selector:
        return False
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def has_endpoints(service: Obj) -> bool:
    """Whether controllers keep endpoints for it: it has a selector and is not just another DNS name."""
    return bool(service["spec"].get("selector") and service["spec"].get("type") != "ExternalName")


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def has_address(pod: Obj, *, include_terminating: bool) -> bool:
    """Whether the pod may be an endpoint at all, ready or not."""
    if is_finished(pod) or not addresses(pod):
        return False
    return include_terminating or not is_terminating(pod)


def addresses(pod: Obj) -> list[str]:
    """All addresses of the pod, of both families."""
    status = pod.get("status", {})
    listed = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return listed or ([status["podIP"]] if status.get("podIP") else [])


def address_of_family(pod: Obj, family: str) -> str:
    """The pod's address of `IPv4` or `IPv6`, "" if it has none."""
    return next((address for address in addresses(pod) if (":" in address) == (family == "IPv6")), "")


def ports_on(service: Obj, pod: Obj) -> list[Obj]:
    """The Service's ports with the numbers they have on this pod; a named port the pod does not have is left out."""
    result: list[Obj] = []
    for entry in service["spec"].get("ports") or ():
        number = target_port(entry, pod)
        if number is None:
            continue
        port: Obj = {"name": entry.get("name") or "", "port": number, "protocol": entry.get("protocol") or "TCP"}
        if entry.get("appProtocol"):
            port["appProtocol"] = entry["appProtocol"]
        result.append(port)
    return result


def target_port(port: Obj, pod: Obj) -> int | None:
    """The number of the Service port on the pod; names are looked up in containers, then in sidecars."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    if target == "":
        return int(port["port"])
    spec, protocol = pod["spec"], port.get("protocol") or "TCP"
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *sidecars]:
        for candidate in container.get("ports") or ():
            if candidate.get("name") == target and (candidate.get("protocol") or "TCP") == protocol:
                return int(candidate["containerPort"])
    return None


def hostname_in(service: Obj, pod: Obj) -> str:
    """The pod's own name under the Service, which it has if it names the Service as its subdomain."""
    spec = pod["spec"]
    same = spec.get("subdomain") == service["metadata"]["name"]
    return str(spec["hostname"]) if same and spec.get("hostname") else ""


def target_ref(pod: Obj) -> Obj:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def matters(pod: Obj) -> tuple[object, ...]:
    """What of a pod shows in endpoints: if it is unchanged, no Service needs a look."""
    metadata, spec = pod["metadata"], pod["spec"]
    return (
        metadata["uid"],
        metadata.get("labels"),
        "deletionTimestamp" in metadata,
        phase(pod) in ("Succeeded", "Failed"),
        addresses(pod),
        is_ready(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


class Members:
    """Who stands behind each Service, kept by the informers' events, so that a look need not search the namespace.

    `add(request, seconds)` is told the key of every Service that selects a changed pod, now or before, and how long
    further changes may gather. A Service's members are looked up at the first look and forgotten with its selector.
    """

    def __init__(self, services: Informer, pods: Informer, add: Callable[[Request, float], None]) -> None:
        self._services = services
        self._pods = pods
        self._add = add
        self._known: dict[Request, tuple[Obj, dict[str, Obj]]] = {}
        """Service -> its selector, its pods by name."""
        services.add_handler(self._service_changed)
        pods.add_handler(self._pod_changed)

    def of(self, service: Obj) -> list[Obj]:
        """The pods the Service selects."""
        request, selector = Request.of(service), service["spec"].get("selector") or {}
        known = self._known.get(request)
        if known is None or known[0] != selector:
            found = (pod for pod in self._pods.list(request.namespace) if selects(service, pod))
            known = self._known[request] = selector, {pod["metadata"]["name"]: pod for pod in found}
        return list(known[1].values())

    def patience(self, request: Request) -> float:
        """Seconds that changes of the Service may gather."""
        known = self._known.get(request)
        return seconds_for(len(known[1])) if known is not None else 0.0

    def _service_changed(self, type: str, service: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._known.pop(Request.of(service), None)
        self._add(Request.of(service), 0.0)

    def _pod_changed(self, type: str, pod: Obj, old: Obj | None) -> None:
        shown = old is None or matters(old) != matters(pod)
        name = pod["metadata"]["name"]
        for service in self._services.list(pod["metadata"]["namespace"]):
            request = Request.of(service)
            known = self._known.get(request)
            selected = selects(service, pod)
            if known is not None and selected and type != "deleted":
                known[1][name] = pod
            elif known is not None:
                known[1].pop(name, None)
            if shown and (selected or (old is not None and selects(service, old))):
                self._add(request, self.patience(request))
