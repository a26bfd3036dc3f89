"""A CronJob through a virtual year and a HorizontalPodAutoscaler through a virtual day; how long they took is recorded."""

from __future__ import annotations

from collections.abc import Callable

import wherry
from wherry.aio.clock import RealClock

NIGHTLY = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {simulation.wherry.dev/run-for: 10m}}
        spec: {restartPolicy: Never, containers: [{name: main, image: busybox}]}
"""
SCALED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {simulation.wherry.dev/cpu: "0s=50m,2h=180m,6h=20m"}}
    spec: {containers: [{name: main, image: nginx, resources: {requests: {cpu: 100m}}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  maxReplicas: 10
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
"""


def test_a_cron_job_through_a_virtual_year(record_property: Callable[[str, object], None]) -> None:
    with wherry.ControlPlane() as cp:
        cp.apply(NIGHTLY)
        clock = RealClock()
        began = clock.monotonic()
        cp.clock.advance("365d")
        record_property("a CronJob through a virtual year", f"{clock.monotonic() - began:.1f} s")
        status = cp.get("cronjob", "nightly")["status"]
        assert status["lastScheduleTime"] == "2026-12-31T03:00:00Z"
        assert status["lastSuccessfulTime"] == "2026-12-31T03:10:00Z"
        assert len(cp.list("jobs")) == 3


def test_an_autoscaler_through_a_virtual_day(record_property: Callable[[str, object], None]) -> None:
    with wherry.ControlPlane() as cp:
        cp.apply(SCALED)
        clock = RealClock()
        began = clock.monotonic()
        cp.clock.advance("1h")
        assert cp.get("deployment", "web")["spec"]["replicas"] == 1
        cp.clock.advance("1h10m")
        assert cp.get("deployment", "web")["spec"]["replicas"] > 1
        cp.clock.advance("21h50m")
        record_property("a HorizontalPodAutoscaler through a virtual day", f"{clock.monotonic() - began:.1f} s")
        assert cp.get("deployment", "web")["spec"]["replicas"] == 1, "all of its pods are past their busy hours"
