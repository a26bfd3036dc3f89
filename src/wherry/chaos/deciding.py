"""What the faults that hold now do to one request of the API, one question to DNS, one node. Pure.

Texts and codes of failures are those with which Kubernetes says the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from wherry.api.errors import MODIFIED, StatusError, conflict, internal_error, too_many_requests
from wherry.chaos import between
from wherry.chaos.faults import API, DISK, DNS, NETWORK, NODE, PRESSURE, BadFault, Fault, Faults

API_KEYS = ("verb", "resource", "namespace", "name", "user", "agent")
NETWORK_KEYS = ("namespace", "from", "to-namespace", "to")
KEYS = {API: API_KEYS, DNS: ("name",), NODE: ("node",), PRESSURE: ("node",), NETWORK: NETWORK_KEYS, DISK: ()}
SIGNALS = {"memory": "memory.available", "disk": "nodefs.available", "inodes": "nodefs.inodesFree"}
"""What a node can lack, in the words of its eviction signals."""
STORAGE, FILE_SYSTEM = "storage", "filesystem"
CODES = (409, 429, 500, 503, 504)
SERVFAIL, NXDOMAIN, DROP = "SERVFAIL", "NXDOMAIN", "drop"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as faults know it; `resource` is `deployments.apps`, `user` a name, `agent` its User-Agent."""

    verb: str
    resource: str
    group: str
    namespace: str
    name: str
    user: str
    agent: str

    def about(self) -> dict[str, str | tuple[str, ...]]:
        qualified = f"{self.resource}.{self.group}" if self.group else self.resource
        return {
            "verb": self.verb,
            "resource": (self.resource, qualified),
            "namespace": self.namespace,
            "name": self.name,
            "user": self.user,
            "agent": self.agent,
        }


@dataclass(frozen=True, slots=True)
class Blow:
    """First the request waits `seconds`, then it fails with `error` or goes on."""

    seconds: float = 0.0
    error: StatusError | None = None


def check(fault: Fault) -> None:
    """Raises BadFault for what nothing of its kind can be chosen by, or fail with."""
    keys, code = KEYS[fault.kind], fault.what.get("fail", CODES[0])
    for key in fault.where:
        if key not in keys:
            raise BadFault(f"{fault.kind} faults cannot be chosen by {key!r}: use {', '.join(keys)}")
    if code not in CODES:
        raise BadFault(f"requests cannot fail with {code}: use {', '.join(map(str, CODES))}")
    if fault.kind == PRESSURE and fault.what.get("of") not in SIGNALS:
        raise BadFault(f"nodes are not under pressure of {fault.what.get('of')!r}: use {', '.join(SIGNALS)}")
    if fault.kind == DISK and fault.what.get("of") not in (STORAGE, FILE_SYSTEM):
        raise BadFault(f"the disk of {fault.what.get('of')!r} cannot be full: use {STORAGE}, {FILE_SYSTEM}")
    if fault.kind == NETWORK:
        between.check(fault)


def of_request(faults: Faults, asked: Asked, inside: bool) -> Blow:
    """`inside`: a part of the system itself asks, which only a fault that says `user` can mean."""
    seconds, error = 0.0, None
    for fault in faults.active(API):
        if (inside and "user" not in fault.where) or not fault.strikes(**asked.about()) or not faults.takes(fault):
            continue
        seconds += float(fault.what.get("delay", 0.0))
        if error is None and "fail" in fault.what:
            error = failure(int(fault.what["fail"]), asked)
    return Blow(seconds, error)


def of_question(faults: Faults, name: str) -> str:
    """What a question for `name` (without its last dot) is answered: SERVFAIL, NXDOMAIN, `drop` for nothing at all, or "" for
    what is true."""
    for fault in faults.active(DNS):
        if fault.strikes(name=name) and faults.takes(fault):
            return str(fault.what.get("answer", SERVFAIL))
    return ""


def is_cut_off(faults: Faults, node: str) -> bool:
    """Whether the API and that node cannot reach one another."""
    return any(fault.strikes(node=node) for fault in faults.active(NODE))


def under_pressure(faults: Faults, node: str) -> dict[str, int]:
    """What that node reads that it has left, by eviction signal (SIGNALS); the least, of several."""
    found: dict[str, int] = {}
    for fault in faults.active(PRESSURE):
        signal = SIGNALS.get(str(fault.what.get("of")))
        if signal is not None and fault.strikes(node=node):
            left = int(fault.what.get("available", 0))
            found[signal] = min(left, found.get(signal, left))
    return found


def is_full(faults: Faults) -> bool:
    """Whether a write of the API's storage fails now as on a full disk. A file system that is really full needs nobody to ask."""
    return any(fault.what.get("of") == STORAGE and faults.takes(fault) for fault in faults.active(DISK))


def failure(code: int, asked: Asked) -> StatusError:
    """One of CODES as the API would say it."""
    if code == 409:
        return conflict(asked.resource, asked.name, MODIFIED, asked.group)
    if code == 429:
        return too_many_requests("the server has received too many requests and has asked us to try again later", 1)
    if code == 503:
        return StatusError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    if code == 504:
        return StatusError(504, "Timeout", "the server was unable to return a response in the time allotted")
    return internal_error("a fault made on purpose")
