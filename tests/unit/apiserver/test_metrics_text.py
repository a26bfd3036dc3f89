"""/metrics: what was asked is counted under the names dashboards know, unknown paths without their names."""

from __future__ import annotations

from api_core import MAPS, Server, config_map, make_server

from wherry.reconcile.queue_metrics import work_queues
from wherry.reconcile.workqueue import WorkQueue


async def scraped(server: Server) -> dict[str, str]:
    """Sample with labels -> value."""
    said = await server.ask("GET", "/metrics")
    assert said.content_type == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    return dict(line.rsplit(" ", 1) for line in said.body.splitlines() if not line.startswith("#"))


def total(code: int, verb: str, resource: str, scope: str, sub: str = "") -> str:
    version = "v1" if resource else ""
    labels = f'component="apiserver",dry_run="",group="",resource="{resource}",scope="{scope}",subresource="{sub}"'
    return f'apiserver_request_total{{code="{code}",{labels},verb="{verb}",version="{version}"}}'


async def test_requests_are_counted() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map("a"))
    await server.ask("GET", f"{MAPS}/a")
    await server.ask("GET", f"{MAPS}/none")
    await server.ask("GET", "/api/v1/nonsense")
    found = await scraped(server)
    assert found[total(201, "POST", "configmaps", "namespace")] == "1"
    assert found[total(200, "GET", "configmaps", "resource")] == "1"
    assert found[total(404, "GET", "configmaps", "resource")] == "1"
    assert found[total(404, "LIST", "", "")] == "1"
    assert not any("nonsense" in name for name in found)
    assert found['apiserver_storage_objects{resource="configmaps"}'] == "1"
    assert found['apiserver_current_inflight_requests{request_kind="readOnly"}'] == "1", "this one"
    counts = [value for name, value in found.items() if name.startswith("apiserver_request_duration_seconds_count")]
    assert sum(map(int, counts)) == 5


async def test_whoever_runs_beside_adds_its_own() -> None:
    server = await make_server()
    queue: WorkQueue[str] = WorkQueue("job", server.app.clock)
    server.app.metrics.collectors.append(work_queues(lambda: {"job": queue}))
    queue.add("a")
    queue.add("b")
    await queue.get()
    found = await scraped(server)
    figures = {key: found[f'workqueue_{key}{{name="job"}}'] for key in ("depth", "adds_total", "retries_total")}
    assert figures == {"depth": "1", "adds_total": "2", "retries_total": "0"}
    assert found['workqueue_queue_duration_seconds_bucket{name="job",le="+Inf"}'] == "1"
    assert found['workqueue_work_duration_seconds_count{name="job"}'] == "0"
    assert float(found['workqueue_unfinished_work_seconds{name="job"}']) >= 0
    assert float(found['workqueue_longest_running_processor_seconds{name="job"}']) >= 0
