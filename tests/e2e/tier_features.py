"""One thing that Kubernetes promises to pods, and how a system shows whether it keeps it: a row of docs/tiers.md's table.

A feature's pod looks for itself: it ends with 0 if it has what it asked for. What only somebody outside can see, `look` sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubectl import Kubectl
from manifests import Obj, container, pod, shell

YES = "yes"
NODE_SAYS = "no"
"""No field asks for it, so no pod is told: the Node's condition is what says it."""


@dataclass(frozen=True)
class Seen:
    """What `kubectl get` says of a pod, and Warnings about it, oldest first."""

    pod: Obj
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def phase(self) -> str:
        return str(self.pod.get("status", {}).get("phase", ""))

    @property
    def status(self) -> Any:
        """Of its first container; empty before it has one."""
        return ((self.pod.get("status") or {}).get("containerStatuses") or [{}])[0]

    @property
    def ended(self) -> Obj:
        """How its first container ended; empty while it has not."""
        return dict((self.status.get("state") or {}).get("terminated") or {})

    def condition(self, kind: str) -> str:
        """Its message if it is False."""
        found = (each for each in self.pod.get("status", {}).get("conditions") or () if each["type"] == kind)
        return next((str(each.get("message", "")) for each in found if each["status"] == "False"), "")

    @property
    def refused(self) -> bool:
        """No program of it ever ran, and its status says why."""
        waits = (self.status.get("state") or {}).get("waiting") or {}
        return self.ended.get("reason") == "StartError" or str(waits.get("reason", "")).endswith("Error")

    @property
    def refusal(self) -> str:
        """What its Events say of that."""
        begun = any(state in (self.status.get("state") or {}) for state in ("running", "terminated"))
        if begun and not self.refused:
            return ""
        texts = [
            text for reason, text in self.warnings if reason in ("Failed", "FailedCreatePodSandBox", "FailedMount")
        ]
        return texts[0] if texts else ""


Look = Callable[[Kubectl, Seen], bool | None]
"""Whether it is so; None: not known yet."""


def by_its_end(_: Kubectl, seen: Seen) -> bool | None:
    return {"Succeeded": True, "Failed": False}.get(seen.phase)


@dataclass(frozen=True)
class Feature:
    """`asks` is how a pod is told that it does not get it, `told` what the Node says where nothing asks for it."""

    text: str
    pod: str
    objects: tuple[Obj, ...]
    look: Look = by_its_end
    asks: str = ""
    told: str = ""
    by_chance: bool = False
    """The machine may do it although nobody enforces it."""
    depends: Mapping[str, str] = field(default_factory=dict)
    """Tier -> what the page says where both answers are right, because it is the machine's affair."""

    def outcome(self, kubectl: Kubectl, seen: Seen, node: str) -> str | None:
        """`yes`, `said: WHY`, `refused: WHY`, `no`; None: not known yet. Raises AssertionError for what is ignored in silence."""
        said = self._said(seen)
        if seen.refused and not seen.refusal:
            return None  # the Event comes later
        if said and not any(reason == "NotEnforced" for reason, _ in seen.warnings):
            return None
        if said and self.by_chance:
            return f"said: {said}"
        if seen.refusal:
            found = self.look(kubectl, seen) if self.look is not by_its_end else None
            return YES if found else f"refused: {_clean(seen.refusal)}"
        found = self.look(kubectl, seen)
        if found is None and not said:
            return None
        assert not (found and said), f"{self.text}: it is there, but the pod is told otherwise: {said}"
        if found:
            return YES
        if said:
            return f"said: {said}"
        assert self.told, f"{self.text}: not there, and nobody is told"
        assert self.told in node, f"{self.text}: not there, and the Node does not say so: {node}"
        return NODE_SAYS

    def _said(self, seen: Seen) -> str:
        if not self.asks:
            return ""
        told = seen.condition("wherry.dev/Enforced")
        match = re.search(rf"(?:^|; )(?:\w+\[\w[\w-]*\]\.)?{re.escape(self.asks)}(?: [\w-]+)?: ([^;]*)", told)
        return match[1] if match else ""


def _clean(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(
        r"^(Error|Failed to create pod sandbox|MountVolume\.SetUp failed for volume \"[^\"]*\" ?): ?", "", text
    )
    return re.sub(r" ?/\S*wherry-e2e\S*", "", text).split(": build it")[0]


def checked(
    name: str,
    text: str,
    script: str,
    *,
    asks: str = "",
    told: str = "",
    by_chance: bool = False,
    depends: Mapping[str, str] | None = None,
    look: Look = by_its_end,
    more: tuple[Obj, ...] = (),
    main: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Feature:
    """A pod of one container that runs a shell script to its end; `main` has more of the container's fields."""
    made = container(shell(f"set -e\n{script}"), **(main or {}))
    return Feature(
        text,
        name,
        (*more, pod(name, made, **{"restartPolicy": "Never", **spec})),
        look,
        asks,
        told,
        by_chance,
        depends or {},
    )
