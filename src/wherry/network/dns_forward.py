"""Questions that are not about the cluster, asked of the machine's own resolvers, with a cache.

Is: the part CoreDNS's `forward . /etc/resolv.conf` and `cache 30` play, from the machine's own network. Is not: a
recursive resolver. Always true: an answer comes within TOTAL_SECONDS, if only SERVFAIL that says why (RFC 8914); the
same question asked twice at once is sent once; both the cache and what is in flight are bounded.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from wherry.aio.clock import Clock
from wherry.network import dns_wire as wire
from wherry.network.dns_wire import Message, WireError

SERVER_SECONDS = 2.0
TOTAL_SECONDS = 4.5
"""Just below the 5 s after which a pod's resolver asks again."""
CACHE_SECONDS_MAX = 30
CACHE_ENTRIES_MAX = 4096
"""About 1 MB; the oldest go first."""
IN_FLIGHT_MAX = 512
"""Each is a descriptor; more at once means that nobody answers."""
_NETWORK_ERROR = 23  # an extended error code


@dataclass(frozen=True, slots=True)
class _Cached:
    data: bytes
    stored: float
    expires: float
    ttl_offsets: tuple[int, ...]


class UpstreamError(Exception):
    """No resolver answered; the text is for people."""


class Forwarder:
    """Asks the resolvers that `resolv_conf` names now."""

    def __init__(self, clock: Clock, rng: random.Random, resolv_conf: Path = Path("/etc/resolv.conf")) -> None:
        self._clock = clock
        self._rng = rng
        self._resolv_conf = resolv_conf
        self._read: tuple[float, list[str]] = (-1.0, [])
        self._cache: dict[bytes, _Cached] = {}
        self._flying: dict[bytes, asyncio.Task[bytes]] = {}

    async def answer(self, query: bytes, message: Message, *, tcp: bool) -> bytes:
        """The whole answer to a query, with its id."""
        key = (b"t" if tcp else b"u") + query[2:]
        found = self._cached(key)
        if found is None:
            try:
                found = await self._fetch(key, query, tcp)
            except UpstreamError as error:
                return wire.encode(failure(message, str(error)))
        return query[:2] + found[2:]

    async def resolve(self, name: wire.Name, kind: int) -> Message:
        """The answer about a name that a name of ours points to. Raises UpstreamError."""
        question = Message(0, wire.RD, [wire.Question(name, kind)], additionals=[wire.opt()])
        query = wire.encode(question)
        key = b"u" + query[2:]
        data = self._cached(key) or await self._fetch(key, query, tcp=False)
        return wire.decode(data)

    # --- the cache --------------------------------------------------------------------------------------------------------

    def _cached(self, key: bytes) -> bytes | None:
        entry = self._cache.get(key)
        now = self._clock.monotonic()
        if entry is None or entry.expires <= now:
            return None
        age = int(now - entry.stored)
        if not age:
            return entry.data
        data = bytearray(entry.data)
        for offset in entry.ttl_offsets:
            (ttl,) = struct.unpack_from(">I", data, offset)
            struct.pack_into(">I", data, offset, max(ttl - age, 0))
        return bytes(data)

    def _store(self, key: bytes, data: bytes) -> None:
        message = wire.decode(data)
        seconds = lifetime(message)
        if seconds <= 0:
            return
        self._cache.pop(key, None)
        while len(self._cache) >= CACHE_ENTRIES_MAX:
            del self._cache[next(iter(self._cache))]
        now = self._clock.monotonic()
        self._cache[key] = _Cached(data, now, now + seconds, tuple(message.ttl_offsets))

    # --- the resolvers ----------------------------------------------------------------------------------------------------

    async def _fetch(self, key: bytes, query: bytes, tcp: bool) -> bytes:
        task = self._flying.get(key)
        if task is None:
            if len(self._flying) >= IN_FLIGHT_MAX:
                raise UpstreamError(f"{IN_FLIGHT_MAX} questions are waiting for the machine's resolvers already")
            task = self._flying[key] = asyncio.get_running_loop().create_task(self._ask_all(key, query, tcp))
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: bytes, task: asyncio.Task[bytes]) -> None:
        del self._flying[key]
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; nobody may be waiting any more

    async def _ask_all(self, key: bytes, query: bytes, tcp: bool) -> bytes:
        servers = self._servers()
        if not servers:
            raise UpstreamError(f"{self._resolv_conf} names no resolver")
        why = "no time"
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                for server in servers:
                    try:
                        async with asyncio.timeout(SERVER_SECONDS):
                            data = await (self._ask_tcp if tcp else self._ask_udp)(server, query)
                        self._store(key, data)
                    except TimeoutError:
                        why = f"{server} did not answer"
                    except (OSError, WireError) as error:
                        why = f"{server}: {error}"
                    else:
                        return data
        except TimeoutError:
            pass
        raise UpstreamError(f"no resolver of {self._resolv_conf} answered ({why})")

    async def _ask_udp(self, server: str, query: bytes) -> bytes:
        """A fresh socket for each question: its port and its id are what a forger would have to guess."""
        loop = asyncio.get_running_loop()
        asked = _fold_question(query)
        with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(_address(server))
            id_ = self._rng.randbytes(2)
            await loop.sock_sendall(sock, id_ + query[2:])
            while True:
                data = await loop.sock_recv(sock, 65535)
                if data[:2] == id_ and len(data) >= 12 and data[2] & 0x80 and _fold_question(data) == asked:
                    return data

    async def _ask_tcp(self, server: str, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*_address(server)[:2])
        try:
            writer.write(struct.pack(">H", len(query)) + query)
            size = struct.unpack(">H", await reader.readexactly(2))[0]
            return await reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise OSError("the resolver hung up") from error
        finally:
            writer.close()

    def _servers(self) -> list[str]:
        """Of the file as it is now: a laptop changes networks."""
        try:
            changed = os.stat(self._resolv_conf).st_mtime
            if changed != self._read[0]:
                self._read = (changed, nameservers(self._resolv_conf.read_text(errors="replace")))
                self._cache.clear()
        except OSError:
            self._read = (-1.0, [])
        return self._read[1]


def nameservers(text: str) -> list[str]:
    """The first three, as resolv.conf(5) says."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"][:3]


def lifetime(message: Message) -> int:
    """For how many seconds an answer may be kept: the least TTL; for a negative one the SOA's (RFC 2308), else not."""
    if message.rcode not in (wire.NOERROR, wire.NXDOMAIN) or message.flags & wire.TC:
        return 0
    if message.rcode == wire.NOERROR and message.answers:
        ttls = [record.ttl for record in message.answers]
    else:
        ttls = [
            min(record.ttl, struct.unpack(">I", record.data[-4:])[0])
            for record in message.authorities
            if record.type == wire.SOA
        ]
    return min([*ttls, CACHE_SECONDS_MAX]) if ttls else 0


def failure(query: Message, why: str) -> Message:
    """SERVFAIL, with the reason in words for who speaks EDNS (dig prints it)."""
    flags = wire.QR | wire.RA | (query.flags & wire.RD) | wire.SERVFAIL
    return Message(
        query.id, flags, query.questions, additionals=[wire.opt(error=(_NETWORK_ERROR, why))] if query.edns else []
    )


def _fold_question(data: bytes) -> bytes:
    message = wire.decode(data)
    return b"".join(
        wire.encode_name(wire.fold(q.name)) + struct.pack(">HH", q.type, q.klass) for q in message.questions
    )


def _family(server: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server else socket.AF_INET


def _address(server: str) -> tuple[str, int] | tuple[str, int, int, int]:
    if ":" not in server:
        return server, 53
    host, _, scope = server.partition("%")
    return host, 53, 0, socket.if_nametoindex(scope) if scope else 0
