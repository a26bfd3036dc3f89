"""gRPC health checks: one `grpc.health.v1.Health/Check` over HTTP/2 (the `h2` package does the framing).

Protocol: GRPC Health Checking Protocol; "gRPC over HTTP2". The two messages are small enough to be written by hand.
"""

from __future__ import annotations

import asyncio
import contextlib

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from wherry.kubelet.probes.http import Dial
from wherry.kubelet.probes.outcome import Outcome, dial_error, failure, success

SERVING = 1
STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
UNIMPLEMENTED = "12"
ANSWER_BYTES_MAX = 64 * 1024  # a health answer has 7 bytes


async def probe(dial: Dial, host: str, port: int, service: str, agent: str) -> Outcome:
    """SERVING is healthy. Bounded by the caller's timeout."""
    try:
        connection = await dial(host, port)
    except OSError as error:
        why = dial_error(host, port, error)
        return failure(
            f'error: failed to connect service "{host}:{port}": connection error: desc = "transport: Error while dialing: {why}"'
        )
    try:
        reader, writer = await asyncio.open_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
    try:
        return await _check(reader, writer, f"{host}:{port}", service, agent)
    except (OSError, h2.exceptions.ProtocolError) as error:
        return failure(f"error: health rpc probe failed: rpc error: code = Unavailable desc = {error}")
    finally:
        with contextlib.suppress(OSError):
            writer.transport.abort()


async def _check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str, agent: str
) -> Outcome:
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    http2.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("te", "trailers"),
    ]
    stream = http2.get_next_available_stream_id()
    http2.send_headers(stream, headers)
    http2.send_data(stream, frame(request(service)), end_stream=True)
    writer.write(http2.data_to_send())
    answer, seen = b"", {}
    while True:
        data = await reader.read(65536)
        if not data:
            raise ConnectionError("connection closed before the answer")
        for event in http2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                seen.update({_text(name): _text(value) for name, value in event.headers or ()})
            elif isinstance(event, h2.events.DataReceived):
                answer += event.data or b""
                http2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ConnectionError("the answer is too large")
            elif isinstance(event, h2.events.StreamEnded):
                return judge(seen, answer)
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ConnectionError(f"stream ended with error code {event.error_code}")
        writer.write(http2.data_to_send())


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def request(service: str) -> bytes:
    """HealthCheckRequest: field 1, the service's name."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def frame(message: bytes) -> bytes:
    """gRPC's length prefix, uncompressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def judge(headers: dict[str, str], answer: bytes) -> Outcome:
    """Headers and trailers together with the framed HealthCheckResponse."""
    code = headers.get("grpc-status", "" if headers.get(":status") == "200" else "unknown")
    if code == UNIMPLEMENTED:
        text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return failure(f"error: {text}: {headers.get('grpc-message', '')}")
    if code != "0":
        why = headers.get("grpc-message") or f"unexpected HTTP status {headers.get(':status')}"
        return failure(f"error: health rpc probe failed: rpc error: code = {code} desc = {why}")
    status = _status(answer[5:])
    if status == SERVING:
        return success("service healthy")
    return failure(f'service unhealthy (responded with "{STATUS_NAMES.get(status, str(status))}")')


def _status(message: bytes) -> int:
    """Field 1 of HealthCheckResponse; protobuf leaves out a zero."""
    if len(message) >= 2 and message[0] == 0x08:
        return message[1]
    return 0


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
