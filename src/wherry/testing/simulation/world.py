"""One simulated world: clock, disk, API server, components, faults, users; and its end, when everything must have settled."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wherry.aio.clock import LoopClock
from wherry.api.errors import StatusError
from wherry.api.scheme import Scheme
from wherry.apiserver.auth.user import AUTHENTICATED, MASTERS, User
from wherry.apiserver.trust import Identity
from wherry.client.rest import Client
from wherry.cluster.composition import Site, bootstrap_options
from wherry.cluster.options import Options
from wherry.storage.errors import StorageError
from wherry.testing.first_state import first_state
from wherry.testing.plane import NoDirectories
from wherry.testing.simulation.call import Calls
from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.disk_storage import DiskStorage
from wherry.testing.simulation.members import Member, Whereabouts, members
from wherry.testing.simulation.observer import Observer
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.process import Process, reason
from wherry.testing.simulation.scenario import Scenario
from wherry.testing.simulation.server import Server
from wherry.testing.simulation.weather import Weather
from wherry.testing.simulation.wire import FAULTS_OF_WATCHES, Wire

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""
CALLS_MAX = 100_000
"""A simulation makes some thousands."""
RESTART_SECONDS = 1.0
USERS = "users"
OBSERVER = "observer"


class SkewedClock(LoopClock):
    """Its wall may be wrong; durations are not."""

    def __init__(self, epoch: float, weather: Weather) -> None:
        super().__init__(epoch)
        self._weather = weather

    def time(self) -> float:
        return super().time() + self._weather.skew


@dataclass(slots=True)
class Seams:
    """What a test may put in the place of production's parts, to see whether it is noticed."""

    disk: Callable[..., Disk] = Disk
    storage: Callable[..., DiskStorage] = DiskStorage


class World:
    """`begin`, let it run, `end`."""

    def __init__(self, scenario: Scenario, seams: Seams) -> None:
        self.scenario = scenario
        self.weather = Weather()
        self.clock = SkewedClock(EPOCH, self.weather)
        self.calls = Calls(CALLS_MAX)
        self.violations: list[Violation] = []
        self._seams = seams
        self._options = Options(simulated_nodes=scenario.nodes, hpa_sync_seconds=15.0)
        self._downs = 0
        self.absent: dict[str, int] = {}
        """Member -> how many faults keep it away."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What our own code logs as an error is one."""
        handler, log = _Errors(self.failed), logging.getLogger("wherry")
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)

    async def begin(self) -> None:
        scenario = self.scenario
        asyncio.get_running_loop().set_exception_handler(lambda loop, about: self.failed(_unheard(about)))
        site = Site(CERTIFICATE, CERTIFICATE, NOBODY, lambda *_: CERTIFICATE.encode(), NoDirectories())
        first = bootstrap_options(self._options, site, scheme(), LoopClock(EPOCH))
        changes = await first_state(first, LoopClock(EPOCH), token_key())
        self.disk = self._seams.disk(random.Random(f"{scenario.seed}/disk"), changes)
        self.server = Server(
            self.disk, self.clock, scenario.seed, first, token_key(), self.failed, self._seams.storage, scenario.window
        )
        where = Whereabouts(self.server, self.clock, scenario.seed, site, self._options, self._wire, self.failed)
        self.members: dict[str, Member] = members(where, scenario.alone)
        self._watched = {fault.target for fault in scenario.faults if fault.kind in FAULTS_OF_WATCHES}
        self.users = Process(USERS, self.failed)
        self.client = Client(self._wire(USERS, User("alice", (MASTERS, AUTHENTICATED)), "kubectl"))
        watcher = Client(self._wire(OBSERVER, User("observer", (MASTERS, AUTHENTICATED)), "observer"))
        self.observer = Observer(watcher, self.clock, lambda text: self.broken("watch", text))
        await self.server.start()
        await self.observer.begin(self.users)
        self.start_members()

    async def down(self) -> None:
        """The API server crashes, or was down anyway."""
        self._downs += 1
        await self.server.crash()

    async def up(self) -> None:
        """It comes back, unless somebody else keeps it down; with a full disk it tries again, as its supervisor makes it."""
        self._downs -= 1
        while self._downs == 0:
            try:
                await self.server.start()
            except* (StatusError, StorageError):
                await self.server.crash()
                await self.clock.sleep(RESTART_SECONDS)
            else:
                break

    def start_members(self) -> None:
        """Whoever does not run and is not meant to be absent."""
        if self.server.app is None:
            return
        for name, member in self.members.items():
            if not self.absent.get(name):
                member.start()

    async def end(self) -> None:
        await self.users.crash()
        for member in self.members.values():
            await member.crash()
        await self.server.close()

    def struck(self) -> Counter[str]:
        """What went wrong, and how often it met somebody."""
        conflicts = sum(call.code == 409 and call.method in ("PUT", "PATCH") for call in self.calls.all)
        return self.weather.struck + self.disk.struck + Counter({"writers in conflict": conflicts})

    def failed(self, text: str) -> None:
        """Something of ours did what it must never do."""
        self.broken("component", text)

    def broken(self, rule: str, text: str) -> None:
        self.violations.append(Violation(rule, text, at=self.clock.monotonic()))

    def _wire(self, who: str, user: User, manager: str) -> Wire:
        watched = who in self._watched or ("" in self._watched and who != OBSERVER)
        weather = Weather() if who == OBSERVER else self.weather
        return Wire(self.server, self.calls, weather, self.clock, who, user, manager, watched)


class _Errors(logging.Handler):
    """A traceback nobody expected, most often."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        self._failed(text)


def _unheard(about: dict[str, Any]) -> str:
    """What the event loop has to say that nobody else was told."""
    return f"{about.get('message')}: {reason(about.get('exception'))}"


CERTIFICATE = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
"""Nobody looks into it."""
NOBODY = Identity(Path("/nonexistent"), Path("/nonexistent"))
"""No server outside is asked."""


@cache
def scheme() -> Scheme:
    return Scheme.load(Options().kubernetes_version)


@cache
def token_key() -> bytes:
    """No part of any trace."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*form)
