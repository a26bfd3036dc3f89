"""Who is asked a second time: those that want it (reinvocationPolicy IfNeeded) once somebody after them changed the object."""

from __future__ import annotations

from msgspec import Struct, field

from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.drafts import draft


class Rounds(Struct):
    """Kept by one plugin for one request, over both rounds of the first phase."""

    asked: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    left: Obj | None = None
    """The object as the plugin left it."""

    @classmethod
    def of(cls, request: AdmissionRequest, plugin: str) -> Rounds:
        """In the second round, what changed since the first one counts like a change of the plugin's own."""
        state = request.reinvocation
        rounds: Rounds = state.memory.setdefault(plugin, cls())
        if state.again and rounds.left != request.object:
            rounds._changed()
        return rounds

    def is_turn(self, request: AdmissionRequest, uid: str) -> bool:
        return not request.reinvocation.again or uid in self.again

    def done(self, request: AdmissionRequest, uid: str, changed: bool, wants_more: bool) -> None:
        """`uid` was asked; whether it changed the object, and whether it wants to see what others make of it."""
        if changed:
            self._changed()
            request.reinvocation.wanted = True
        if wants_more:
            self.asked.add(uid)

    def leave(self, request: AdmissionRequest) -> None:
        """The plugin is through with this round."""
        self.left = draft(request.object)

    def _changed(self) -> None:
        self.again |= self.asked
        self.asked = set()
