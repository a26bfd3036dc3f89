"""What applications say of themselves: pods that carry `prometheus.io/scrape: "true"` are asked for their metrics.

    prometheus.io/port     which port    (default: the first one its containers declare)
    prometheus.io/path     which path    (default: /metrics)

Asked only while somebody asks us, at most once a second. A counter NAME_total becomes the rate NAME_per_second over the last
few seconds; a gauge stays what it is. A pod that does not answer says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from wherry.aio.clock import Clock, rfc3339
from wherry.api import exposition_reading
from wherry.api.exposition_reading import Scrape
from wherry.api.types import Obj
from wherry.cri.interface import RuntimeFailure, RuntimeService
from wherry.kubelet import pod_spec
from wherry.kubelet.pleg import Pleg

log = logging.getLogger(__name__)

ANNOTATION = "prometheus.io/"
FRESH_SECONDS = 0.9
"""A little less than the second between two looks of an autoscaler, so that each look sees a sample of its own."""
FIRST_PAUSE_SECONDS = 0.5
"""Between the first two samples: a rate needs two."""
WINDOW_SECONDS = 4.0
"""A rate is over this long: short enough to follow a load within seconds, long enough not to flutter."""
ANSWER_SECONDS = 1.0
BODY_BYTES_MAX = 4 << 20
AT_ONCE = 20


class _Sample(Struct, frozen=True):
    at: float
    scrape: Scrape


class Scraper:
    """Of the pods of one node; `pods` gives them as the API has them."""

    def __init__(self, runtime: RuntimeService, pleg: Pleg, pods: Callable[[], Sequence[Obj]], clock: Clock) -> None:
        self._runtime = runtime
        self._pleg = pleg
        self._pods = pods
        self._clock = clock
        self._samples: dict[str, deque[_Sample]] = {}
        self._lock = asyncio.Lock()
        self._taken = float("-inf")
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def summary(self) -> Obj:
        """`{"pods": [{"podRef": {name, namespace, uid}, "time": RFC 3339, "window": seconds, "metrics": {name: value}}]}`."""
        async with self._lock:
            if self._clock.monotonic() - self._taken > FRESH_SECONDS:
                await self._take()
                if any(len(known) == 1 for known in self._samples.values()):
                    await self._clock.sleep(FIRST_PAUSE_SECONDS)
                    await self._take()
        wanted = {pod_spec.uid_of(pod): pod for pod in self._pods()}
        return {"pods": [_told(wanted[uid], known) for uid, known in self._samples.items() if known and uid in wanted]}

    async def _take(self) -> None:
        """One more sample of every pod that wants to be asked; those that are gone are forgotten."""
        self._taken = self._clock.monotonic()
        pods = {pod_spec.uid_of(pod): pod for pod in self._pods() if is_scraped(pod)}
        self._samples = {uid: self._samples.get(uid, deque()) for uid in pods}
        await asyncio.gather(*(self._sample(uid, pod) for uid, pod in pods.items()))

    async def _sample(self, uid: str, pod: Obj) -> None:
        known = self._samples[uid]
        try:
            async with self._slots, asyncio.timeout(ANSWER_SECONDS):
                text = await self._ask(uid, pod)
        except (OSError, EOFError, ValueError, TimeoutError, RuntimeFailure) as error:
            log.debug("metrics of pod %s: %s", pod_spec.full_name(pod), error)
            known.clear()
            return
        now = self._clock.time()
        known.append(_Sample(now, exposition_reading.read(text)))
        while len(known) > 2 and known[1].at < now - WINDOW_SECONDS:
            known.popleft()

    async def _ask(self, uid: str, pod: Obj) -> str:
        """GET over HTTP/1.0, whose answers end with the connection. Raises OSError, EOFError, ValueError."""
        sandbox = self._pleg.pod(uid).ready_sandbox
        if sandbox is None:
            raise ValueError("it does not run")
        port, path = where(pod)
        host = sandbox.config.ip or "127.0.0.1"
        sock = await self._runtime.dial(sandbox.id, port, host)
        reader, writer = await asyncio.open_connection(sock=sock, limit=BODY_BYTES_MAX)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: text/plain\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1] if head.count(b" ") > 1 else b"?"
            if status != b"200":
                raise ValueError(f"answered {status.decode(errors='replace')}")
            body = await reader.read(BODY_BYTES_MAX)
            while more := await reader.read(BODY_BYTES_MAX):
                body += more
                if len(body) > BODY_BYTES_MAX:
                    raise ValueError(f"says more than {BODY_BYTES_MAX} bytes")
            return body.decode(errors="replace")
        except asyncio.LimitOverrunError as error:
            raise ValueError("answered no HTTP") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def is_scraped(pod: Obj) -> bool:
    """Whether it wants to be asked, and can be."""
    annotations: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    wants = (
        annotations.get(f"{ANNOTATION}scrape") == "true" and annotations.get(f"{ANNOTATION}scheme", "http") == "http"
    )
    return wants and not pod_spec.is_deleted(pod) and not pod_spec.is_terminal(pod)


def where(pod: Obj) -> tuple[int, str]:
    """Port and path. Raises ValueError."""
    annotations = pod["metadata"].get("annotations") or {}
    declared = [str(port["containerPort"]) for one in pod_spec.containers(pod) for port in one.get("ports") or ()]
    port = annotations.get(f"{ANNOTATION}port") or (declared[0] if declared else "")
    path = annotations.get(f"{ANNOTATION}path") or "/metrics"
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"annotation {ANNOTATION}port: {port!r} is no port")
    if not path.startswith("/") or any(char.isspace() or ord(char) < 33 for char in path):
        raise ValueError(f"annotation {ANNOTATION}path: {path!r} is no path")
    return int(port), path


def rates(oldest: Scrape, newest: Scrape, seconds: float) -> dict[str, float]:
    """`NAME_per_second` of every counter; one that went back has begun anew, with its process."""
    found: dict[str, float] = {}
    for name, value in newest.counters.items():
        before = oldest.counters.get(name, 0.0)
        grown = value - before if value >= before else value
        found[f"{name.removesuffix('_total')}_per_second"] = grown / seconds
    return found


def _told(pod: Obj, known: Sequence[_Sample]) -> Obj:
    oldest, newest = known[0], known[-1]
    seconds = newest.at - oldest.at
    metrics = dict(newest.scrape.gauges)
    if seconds > 0:
        metrics |= rates(oldest.scrape, newest.scrape, seconds)
    reference = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    return {"podRef": reference, "time": rfc3339(newest.at), "window": round(seconds, 3), "metrics": metrics}
