"""exec and attach between a command and a client, in virtual time; descriptors are real pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj
from wherry.cri.fake_streams import FakeSession, pipe
from wherry.kubelet.streaming.channels import STDOUT, Event
from wherry.kubelet.streaming.remote_command import DRAIN_SECONDS, Wanted, serve

WANTED = Wanted(stdin=False, stdout=True, stderr=True, tty=False)


class Client:
    """Takes each piece in `seconds`, and says nothing."""

    def __init__(self, seconds: float) -> None:
        self.heard: dict[int, bytes] = {}
        self.finished = False
        self._seconds = seconds

    async def receive(self) -> Event | None:
        await asyncio.Event().wait()
        return None

    async def send(self, channel: int, data: bytes) -> None:
        await asyncio.sleep(self._seconds)
        assert not self.finished
        self.heard[channel] = self.heard.get(channel, b"") + data

    async def finish(self, status: Obj) -> None:
        self.finished = True


@contextlib.contextmanager
def ended(said: bytes) -> Iterator[tuple[FakeSession, int]]:
    """A command that said this and ended, and what a child of its still holds."""

    async def end() -> int:
        return 0

    out, err = pipe(), pipe()
    os.write(out[1], said)
    try:
        yield FakeSession(None, out[0], err[0], end), out[1]
    finally:
        os.close(out[1])
        os.close(err[1])


def test_what_a_command_said_comes_whole_to_a_slow_client() -> None:
    async def scenario() -> None:
        client = Client(10 * DRAIN_SECONDS)
        with ended(b"x" * 60_000) as (session, _):
            await serve(session, client, WANTED, report_exit=True)
        assert client.finished
        assert client.heard == {STDOUT: b"x" * 60_000}

    run_virtual(scenario())


def test_a_child_that_goes_on_talking_is_not_waited_for() -> None:
    async def scenario() -> None:
        client = Client(0)
        with ended(b"done\n") as (session, held):

            async def talk() -> None:
                while True:
                    os.write(held, b".")
                    await asyncio.sleep(DRAIN_SECONDS / 10)

            talking = asyncio.ensure_future(talk())
            began = asyncio.get_running_loop().time()
            await serve(session, client, WANTED, report_exit=True)
            assert asyncio.get_running_loop().time() - began < 2 * DRAIN_SECONDS
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        assert client.heard[STDOUT].startswith(b"done\n")

    run_virtual(scenario())
