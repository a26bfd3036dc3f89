"""The cluster's DNS server, on two sockets of the node's network: datagrams and connections at 10.96.0.10:53.

Is: I/O and a table of ready answers. Is not: the names (`dns_zone.py`), the bytes (`dns_wire.py`) or the resolvers of the
machine (`dns_forward.py`). Always true: a question about the cluster is answered without waiting for anything; an answer
given once is a table look-up until the services change.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any

from wherry.chaos.deciding import NXDOMAIN, SERVFAIL, of_question
from wherry.chaos.faults import DNS, Faults
from wherry.chaos.kept import MemoryFaults
from wherry.network import dns_wire as wire
from wherry.network.dns_forward import Forwarder, UpstreamError, failure
from wherry.network.dns_wire import Message, Record, WireError
from wherry.network.dns_zone import Answer, Zone

READY_MAX = 8192
"""Ready answers, about 2 MB; a pod that asks for random names empties the table, no more."""
ROTATIONS_MAX = 16
"""Of one answer with several addresses: every address comes first in turn."""
BURST = 64
"""Datagrams answered before other work of the loop gets its turn."""
TASKS_MAX = 1024
CONNECTIONS_MAX = 128
CONNECTION_IDLE_SECONDS = 10.0
ALIASES_MAX = 8
NO_FAULTS = MemoryFaults()
_EDNS_BADVERS = 1 << 24  # the upper bits of the response code, in OPT's TTL


class DnsServer:
    """Answers on `udp` and `tcp`, which are bound (and listening) and non-blocking, from the zone it was given last."""

    def __init__(
        self, udp: socket.socket, tcp: socket.socket, zone: Zone, forwarder: Forwarder, faults: Faults = NO_FAULTS
    ) -> None:
        self._udp = udp
        self._tcp = tcp
        self._zone = zone
        self._forwarder = forwarder
        self._faults = faults
        self._ready: dict[bytes, deque[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    def set_zone(self, zone: Zone) -> None:
        self._zone = zone
        self._ready.clear()

    async def run(self) -> None:
        """Serve until cancelled. The sockets stay the caller's."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._udp, self._readable)
        loop.add_reader(self._tcp, self._acceptable)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(self._udp)
            loop.remove_reader(self._tcp)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- datagrams ----------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        receive, ready, send = self._udp.recvfrom, self._ready, self._udp.sendto
        if self._faults.active(DNS):
            ready = {}  # what is to fail is asked of every question
        for _ in range(BURST):
            try:
                query, client = receive(wire.UDP_SIZE_MAX)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error for an earlier answer: that client has gone
            answers = ready.get(query[2:])
            if answers is None:
                self._datagram(query, client)
                continue
            if len(answers) > 1:
                answers.rotate(-1)
            try:
                send(query[:2] + answers[0], client)
            except OSError:
                continue  # a full buffer or an unreachable client: it asks again

    def _datagram(self, query: bytes, client: Any) -> None:
        message = _understand(query)
        if isinstance(message, bytes):
            self._send(message, client)
            return
        if (broken := _broken(self._faults, message)) is not None:
            self._send(broken, client)
            return
        answer = self._zone.answer(message.questions[0])
        if answer is None:
            self._spawn(self._forward(query, message, client))
        elif answer.alias is not None:
            self._spawn(self._follow_datagram(message, answer, client))
        else:
            data = _encode(message, answer, message.udp_size)
            if len(self._ready) >= READY_MAX:
                self._ready.clear()
            self._ready[query[2:]] = deque(_rotations(message, answer, data))
            self._send(data, client)

    async def _forward(self, query: bytes, message: Message, client: Any) -> None:
        self._send(await self._forwarder.answer(query, message, tcp=False), client)

    async def _follow_datagram(self, message: Message, answer: Answer, client: Any) -> None:
        self._send(await self._follow(message, answer, message.udp_size), client)

    def _send(self, data: bytes, client: Any) -> None:
        if not data:
            return
        try:
            self._udp.sendto(data, client)
        except OSError:
            pass  # it asks again, or has gone

    def _spawn(self, work: Coroutine[Any, Any, None], bound: bool = True) -> None:
        if bound and len(self._tasks) >= TASKS_MAX:
            work.close()  # a datagram lost: resolvers ask again
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- connections --------------------------------------------------------------------------------------------------------

    def _acceptable(self) -> None:
        try:
            sock, _ = self._tcp.accept()
        except OSError:
            return
        if self._connections >= CONNECTIONS_MAX:
            sock.close()
            return
        self._connections += 1
        self._spawn(self._connection(sock), bound=False)

    async def _connection(self, sock: socket.socket) -> None:
        """Question after question (RFC 7766) until the client has asked nothing for a while."""
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
            while True:
                async with asyncio.timeout(CONNECTION_IDLE_SECONDS):
                    size = struct.unpack(">H", await reader.readexactly(2))[0]
                    query = await reader.readexactly(size)
                data = await self._stream(query)
                if not data:
                    return
                writer.write(struct.pack(">H", len(data)) + data)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            if writer is not None:
                writer.close()
            else:
                sock.close()

    async def _stream(self, query: bytes) -> bytes:
        message = _understand(query)
        if isinstance(message, bytes):
            return message
        if (broken := _broken(self._faults, message)) is not None:
            return broken
        answer = self._zone.answer(message.questions[0])
        if answer is None:
            return await self._forwarder.answer(query, message, tcp=True)
        if answer.alias is not None:
            return await self._follow(message, answer, 65535)
        return _encode(message, answer, 65535)

    # --- aliases ------------------------------------------------------------------------------------------------------------

    async def _follow(self, message: Message, answer: Answer, limit: int) -> bytes:
        """An ExternalName service: its CNAME, then the records of where that leads, here or in the world."""
        kind = message.questions[0].type
        records = list(answer.answers)
        alias, rcode = answer.alias, wire.NOERROR
        for _ in range(ALIASES_MAX):
            if alias is None:
                break
            step = self._zone.answer(wire.Question(alias, kind))
            if step is None:
                try:
                    outside = await self._forwarder.resolve(alias, kind)
                except (UpstreamError, WireError) as error:
                    return wire.encode(failure(message, str(error)), limit)
                records += [record for record in outside.answers if record.type in (kind, wire.CNAME)]
                rcode = outside.rcode
                break
            records += step.answers
            alias, rcode = step.alias, step.rcode
        return _encode(message, Answer(rcode, answers=records), limit)


def _broken(faults: Faults, query: Message) -> bytes | None:
    """What a question that a fault strikes is answered, b"" for nothing at all; None for all others."""
    name = b".".join(wire.fold(query.questions[0].name)).decode("ascii", "replace")
    said = of_question(faults, name)
    if not said:
        return None
    codes = {SERVFAIL: wire.SERVFAIL, NXDOMAIN: wire.NXDOMAIN}
    if said not in codes:
        return b""
    flags = wire.QR | wire.RA | (query.flags & wire.RD) | codes[said]
    return wire.encode(Message(query.id, flags, query.questions))


def _understand(query: bytes) -> Message | bytes:
    """The question, or what to say instead: FORMERR, NOTIMP, BADVERS; empty when it is better to say nothing."""
    try:
        message = wire.decode(query)
    except WireError:
        # Only something that has the look of a question is worth an answer.
        return query[:2] + struct.pack(">H", wire.QR | wire.FORMERR) + bytes(8) if len(query) >= 12 else b""
    if message.flags & wire.QR:
        return b""
    if message.opcode:
        return wire.encode(Message(message.id, wire.QR | message.flags & 0x7900 | wire.NOTIMP, message.questions))
    if len(message.questions) != 1:
        return wire.encode(Message(message.id, wire.QR | wire.FORMERR))
    edns = message.edns
    if edns and edns.ttl >> 16 & 0xFF:
        bad = Record((), wire.OPT, _EDNS_BADVERS, b"", wire.UDP_SIZE_MAX)
        return wire.encode(Message(message.id, wire.QR, message.questions, additionals=[bad]))
    return message


def _encode(query: Message, answer: Answer, limit: int) -> bytes:
    flags = wire.QR | wire.AA | wire.RA | (query.flags & wire.RD) | answer.rcode
    additionals = [*answer.additionals, *([wire.opt()] if query.edns else [])]
    message = Message(query.id, flags, query.questions, answer.answers, answer.authorities, additionals)
    return wire.encode(message, limit)


def _rotations(query: Message, answer: Answer, data: bytes) -> list[bytes]:
    """The answer without its id, once for each address that can come first (what CoreDNS's loadbalance does)."""
    count = len(answer.answers)
    if count < 2:
        return [data[2:]]
    turns = range(min(count, ROTATIONS_MAX))
    records = list(answer.answers)
    return [
        _encode(
            query,
            Answer(answer.rcode, records[at:] + records[:at], answer.authorities, answer.additionals),
            query.udp_size,
        )[2:]
        for at in turns
    ]
