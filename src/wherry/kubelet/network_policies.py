"""Which NetworkPolicies select a pod: they are stored and nothing here filters, and each pod is told so (`enforcement.py`).

A policy that comes, goes or changes its selector changes what its namespace's pods are told.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.api.labels import Selector
from wherry.api.resources import NETWORK_POLICIES
from wherry.api.types import Obj
from wherry.client.informer import ChangeType, InformerFactory
from wherry.kubelet import pod_spec

Listener = Callable[[str], None]


class NetworkPolicies:
    """`listener(namespace)` after something changed there; it must return at once."""

    def __init__(self, informers: InformerFactory, listener: Listener) -> None:
        self._informer = informers.informer(NETWORK_POLICIES)
        self._informer.add_index("namespace", lambda policy: [policy["metadata"]["namespace"]])
        self._informer.add_handler(self._changed)
        self._listener = listener

    async def wait_synced(self) -> None:
        """Return once those there are are known: a restarted kubelet has nothing new to say then."""
        await self._informer.wait_synced()

    def selecting(self, pod: Obj) -> list[str]:
        """Their names, sorted; those seen so far."""
        labels = pod["metadata"].get("labels")
        found = self._informer.by_index("namespace", pod_spec.namespace_of(pod))
        chosen = [each for each in found if Selector.from_object(_selector(each)).matches(labels)]
        return sorted(each["metadata"]["name"] for each in chosen)

    def _changed(self, type: ChangeType, policy: Obj, old: Obj | None) -> None:
        if type != "modified" or old is None or _selector(old) != _selector(policy):
            self._listener(policy["metadata"]["namespace"])


def _selector(policy: Obj) -> Obj:
    """One that is missing selects every pod of the namespace, as an empty one does."""
    selector: Obj = (policy.get("spec") or {}).get("podSelector") or {}
    return selector
