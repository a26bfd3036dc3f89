"""How `wherry chaos network` follows pods that come and go: it asks the API, and netd hears of it by the fault's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http.client import NOT_FOUND
from urllib.parse import quote

from wherry.aio.clock import RealClock
from wherry.api.types import Obj
from wherry.chaos import ends
from wherry.chaos.faults import LEASE_SECONDS, BadFault, Fault
from wherry.cli.asking import ANSWER_SECONDS, Refused, ask
from wherry.cli.session import Failed, options_of
from wherry.cluster.paths import State
from wherry.network.fault_asking import NotMade, tell, wait_made

ASK_SECONDS = LEASE_SECONDS / 4
"""An API that is stuck must not end the fault: it is asked for two things at each end at most, between two renewals."""


class Following:
    """Called with the fault before each renewal: the fault as it is to be now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._options = options_of(state)
        self._seconds = ANSWER_SECONDS

    def begin(self, fault: Fault) -> Fault:
        """Raises Failed."""
        try:
            fault = replace(fault, ends=ends.find(self, fault.where))
        except BadFault as error:
            raise Failed(str(error)) from None
        self._seconds = ASK_SECONDS
        return fault

    def __call__(self, fault: Fault) -> Fault:
        """As far as the API answers; who was meant before is meant until it does."""
        tell(self._state.netd_socket)
        try:
            return replace(fault, ends=ends.find(self, fault.where))
        except (Failed, BadFault):
            return fault

    def confirm(self, fault: Fault, renew: Callable[[], object]) -> None:
        """Return once it is made, renewed until then. Raises Failed when it is not."""
        try:
            wait_made(self._state.netd_socket, fault.name, renew, RealClock().monotonic)
        except NotMade as error:
            raise Failed(str(error)) from None

    def pods(self, namespace: str, selector: str) -> list[Obj]:
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={quote(selector)}"
        found: list[Obj] = self._ask(path)["items"]
        return found

    def service(self, namespace: str, name: str) -> Obj | None:
        try:
            return self._ask(f"/api/v1/namespaces/{namespace}/services/{quote(name)}")
        except Refused as error:
            if error.code != NOT_FOUND:
                raise
            return None

    def _ask(self, path: str) -> Obj:
        return ask(self._state, self._options, "GET", path, seconds=self._seconds)


def share(text: str) -> float:
    """`0.1` or `10%`. Raises Failed."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise Failed(f"{text!r} is no share: say 0.1 or 10%") from None
