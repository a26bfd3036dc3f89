"""Who is asked for metrics, how, and what becomes of the answers. The applications are real sockets of this process."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wherry.aio.clock import LoopClock, ManualClock
from wherry.api.exposition_reading import Scrape
from wherry.api.types import Obj
from wherry.cri.fake import FakeRuntime
from wherry.cri.interface import SandboxConfig
from wherry.kubelet import scraping
from wherry.kubelet.pleg import Pleg
from wherry.kubelet.scraping import FRESH_SECONDS, WINDOW_SECONDS, Scraper, is_scraped, rates, where


def pod(port: str = "", path: str = "", /, declared: int = 0, **annotations: str) -> Obj:
    said = {"prometheus.io/scrape": "true"} | ({"prometheus.io/port": port} if port else {})
    said |= ({"prometheus.io/path": path} if path else {}) | {f"prometheus.io/{k}": v for k, v in annotations.items()}
    ports = [{"containerPort": declared}] if declared else []
    metadata = {"name": "web", "namespace": "default", "uid": "u", "annotations": said}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running"},
    }


def test_who_is_asked() -> None:
    assert is_scraped(pod())
    assert not is_scraped(pod(scrape="false"))
    assert not is_scraped(pod(scheme="https"))
    assert not is_scraped({**pod(), "status": {"phase": "Succeeded"}})
    assert not is_scraped({**pod(), "metadata": {**pod()["metadata"], "deletionTimestamp": "now"}})


def test_where() -> None:
    assert where(pod("9100", "/m")) == (9100, "/m")
    assert where(pod(declared=8080)) == (8080, "/metrics")


@pytest.mark.parametrize(
    ("obj", "problem"),
    [
        (pod(), "prometheus.io/port: '' is no port"),
        (pod("http"), "prometheus.io/port: 'http' is no port"),
        (pod("70000"), "prometheus.io/port: '70000' is no port"),
        (pod("80", "metrics"), "prometheus.io/path: 'metrics' is no path"),
        (pod("80", "/a HTTP/1.1\r\nX: y"), "is no path"),
    ],
)
def test_nowhere(obj: Obj, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        where(obj)


def test_rates() -> None:
    before = Scrape({"asked_total": 10.0, "gone_total": 5.0, "again_total": 90.0})
    after = Scrape({"asked_total": 40.0, "again_total": 6.0, "new_count": 3.0})
    assert rates(before, after, 3.0) == {"asked_per_second": 10.0, "again_per_second": 2.0, "new_count_per_second": 1.0}


class Applications(FakeRuntime):
    """A runtime whose pods are the listeners of this process."""

    async def dial(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        return sock


class Application:
    """Answers each request with the next of its `pages`, the last one again and again."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.asked = 0
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.decode().splitlines()[0])
        page = self.pages[min(self.asked, len(self.pages) - 1)]
        self.asked += 1
        status = "200 OK" if page else "500 Internal Server Error"
        writer.write(f"HTTP/1.0 {status}\r\n\r\n{page}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application of this process answers as soon as the machine lets it."""
    monkeypatch.setattr(scraping, "ANSWER_SECONDS", 60)


class Clock(ManualClock):
    """Stands still; a pause passes at once."""


@asynccontextmanager
async def scraped(tmp_path: Path) -> AsyncIterator[tuple[Application, Scraper, Clock]]:
    application, clock = Application(), Clock()
    server = await asyncio.start_server(application.serve, "127.0.0.1", 0)
    runtime = Applications(LoopClock(), random.Random(1))
    await runtime.run_pod_sandbox(SandboxConfig("u", "web", "default", "web", "127.0.0.1", tmp_path, tmp_path / "s"))
    pleg = Pleg(runtime, LoopClock(), random.Random(1), lambda uid: None)
    watching = asyncio.ensure_future(pleg.run())
    await pleg.wait_synced()
    port = str(server.sockets[0].getsockname()[1])
    pods = [pod(port)]
    try:
        yield application, Scraper(runtime, pleg, lambda: pods, clock), clock
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await runtime.close()
        server.close()
        await server.wait_closed()


async def test_two_samples_make_a_rate(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (application, scraper, clock):
        application.pages = [
            "# TYPE asked counter\nasked_total 10\nqueue 1\n",
            "# TYPE asked counter\nasked_total 20\nqueue 2\n",
        ]
        (told,) = (await scraper.summary())["pods"]
        assert told["podRef"] == {"name": "web", "namespace": "default", "uid": "u"}
        assert told["metrics"] == {"queue": 2.0, "asked_per_second": 20.0}  # ten in the half second between the two
        assert application.requests == ["GET /metrics HTTP/1.0"] * 2
        await scraper.summary()
        assert application.asked == 2  # fresh enough
        clock.advance(FRESH_SECONDS + 0.6)
        (told,) = (await scraper.summary())["pods"]
        assert (application.asked, told["window"]) == (3, 2.0)


async def test_the_window_moves(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (application, scraper, clock):
        application.pages = [f"# TYPE asked counter\nasked_total {number}\n" for number in range(40)]
        for _ in range(30):
            (told,) = (await scraper.summary())["pods"]
            clock.advance(1)
        assert told["metrics"]["asked_per_second"] == pytest.approx(1.0)
        assert WINDOW_SECONDS <= told["window"] <= WINDOW_SECONDS + 1


async def test_who_does_not_answer_says_nothing(tmp_path: Path) -> None:
    async with scraped(tmp_path) as (application, scraper, clock):
        application.pages = ["queue 1\n", "queue 1\n", "", "queue 3\n"]
        assert len((await scraper.summary())["pods"]) == 1
        clock.advance(2)
        assert (await scraper.summary())["pods"] == []
        clock.advance(2)
        (told,) = (await scraper.summary())["pods"]
        assert told["metrics"] == {"queue": 3.0}
