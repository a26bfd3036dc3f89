"""/metrics: what was asked is counted under the names dashboards know, unknown paths without their names."""

from __future__ import annotations

from api_core import MAPS, Server, config_map, make_server

from wherry.reconcile.queue_metrics import work_queues
from wherry.reconcile.workqueue import WorkQueue

APPLIED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}


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


async def test_admission_is_measured_by_plugin_and_by_phase() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map("a"))
    await server.ask("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))
    found = await scraped(server)
    plugin = "apiserver_admission_controller_admission_duration_seconds_count"
    assert found[f'{plugin}{{name="NamespaceLifecycle",operation="CREATE",rejected="false",type="admit"}}'] == "2", (
        "and the namespace"
    )
    assert found[f'{plugin}{{name="NamespaceLifecycle",operation="CREATE",rejected="true",type="admit"}}'] == "1"
    assert (
        found[f'{plugin}{{name="ValidatingAdmissionWebhook",operation="CREATE",rejected="false",type="validate"}}']
        == "2"
    )
    step = "apiserver_admission_step_admission_duration_seconds_count"
    assert found[f'{step}{{operation="CREATE",rejected="true",type="admit"}}'] == "1"
    assert found[f'{step}{{operation="CREATE",rejected="false",type="validate"}}'] == "2"


async def test_what_dashboards_ask_for_is_there() -> None:
    """The names kubernetes-mixin's rules, alerts and dashboards of the API server read."""
    server = await make_server()
    await server.ask(
        "PATCH", f"{MAPS}/a?fieldManager=me&dryRun=All", APPLIED, content_type="application/apply-patch+yaml"
    )
    await server.ask("GET", MAPS)
    text = (await server.ask("GET", "/metrics")).body
    for name in (
        "apiserver_request_total{", "apiserver_request_duration_seconds_bucket{",
        "apiserver_request_sli_duration_seconds_bucket{",
        "apiserver_current_inflight_requests{", "apiserver_storage_objects{", "apiserver_resource_objects{",
        "process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_start_time_seconds ",
    ):  # fmt: skip
        assert f"\n{name}" in text, name
    assert (
        'dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="APPLY",version="v1"}'
        in text
    )


async def test_time_spent_waiting_for_others_is_not_ours() -> None:
    server = await make_server()
    request = server.request("GET", MAPS, None, token="secret", content_type="")
    metrics = server.app.metrics
    await server.app.handle(request)
    assert request.series is not None
    request.elsewhere = 7.0
    metrics.measured(request.series, request, 7.3)
    found = await scraped(server)
    where = 'component="apiserver",dry_run="",group="",resource="configmaps"'
    labels = f'{where},scope="namespace",subresource="",verb="LIST",version="v1"'
    whole, own = (f"apiserver_request_{kind}duration_seconds_bucket{{{labels},le=" for kind in ("", "sli_"))
    assert (found[f'{whole}"6"}}'], found[f'{whole}"8"}}']) == ("1", "2")
    assert (found[f'{own}"0.2"}}'], found[f'{own}"0.4"}}'], found[f'{own}"8"}}']) == ("1", "2", "2")
