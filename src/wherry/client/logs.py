"""Logs of a container through the API: `GET pods/NAME/log` as text, whole or as it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator

from wherry.api.resources import PODS
from wherry.client.http import HttpTransport

LINE_BYTES_MAX = 1 << 20  # a longer line is cut into pieces instead of filling the memory


async def lines(
    transport: HttpTransport,
    namespace: str,
    pod: str,
    container: str,
    *,
    follow: bool = False,
    previous: bool = False,
    tail: int | None = None,
    since_seconds: int | None = None,
    timestamps: bool = False,
) -> AsyncIterator[str]:
    """Each line without its end; with `follow` until the container ends. Raises StatusError, ConnectionError."""
    query = {"container": container}
    query.update({key: "true" for key, on in (("follow", follow), ("previous", previous)) if on})
    if timestamps:
        query["timestamps"] = "true"
    if tail is not None:
        query["tailLines"] = str(tail)
    if since_seconds is not None:
        query["sinceSeconds"] = str(since_seconds)
    rest = b""
    async with transport.read(PODS.path(namespace, pod, "log"), query=query) as pieces:
        async for piece in pieces:
            *complete, rest = (rest + piece).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace")
            if len(rest) > LINE_BYTES_MAX:
                yield rest.decode(errors="replace")
                rest = b""
    if rest:
        yield rest.decode(errors="replace")
