"""Tables have the columns a running 1.36 has, and rows as kubectl users know them.

Long because it has the expected row of each kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wherry.api.resources import CONFIG_MAPS, NAMESPACES, PODS
from wherry.api.scheme import Resource, Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.discovery import METRICS
from wherry.apiserver.printers.form import Printer, columns, human_duration
from wherry.apiserver.table import Tables

REFERENCE = Path(__file__).parents[2] / "reference"
NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
MADE = "2023-11-14T22:08:20Z"  # five minutes before


def resource(gvr: GVR) -> Resource:
    found = Scheme.load().resource(gvr)
    assert found is not None
    return found


def table(api_version: str, kind: str, obj: Obj, **more: Any) -> Obj:
    found = Scheme.load().by_kind(api_version, kind)
    assert found is not None
    obj = {"apiVersion": api_version, "kind": kind, **obj}
    obj["metadata"] = {"name": "x", "creationTimestamp": MADE, **obj.get("metadata", {})}
    return Tables(Scheme.load()).table(found, [obj], {}, "None", NOW, **more)


def cells(api_version: str, kind: str, obj: Obj) -> list[Any]:
    made = table(api_version, kind, obj)
    (row,) = made["rows"]
    assert len(row["cells"]) == len(made["columnDefinitions"])
    result: list[Any] = row["cells"]
    return result


def pod(status: Obj, spec: Obj | None = None, **metadata: Any) -> list[Any]:
    spec = {"containers": [{"name": "a"}], **(spec or {})}
    return cells("v1", "Pod", {"spec": spec, "status": status, "metadata": metadata})


def test_columns_are_those_recorded() -> None:
    recorded = json.loads((REFERENCE / "table-columns.json").read_text())
    tables = Tables(Scheme.load())
    shown = {}
    for gvr, found in Scheme.load().resources.items():
        if "list" in found.verbs:
            definitions = tables.table(found, [], {}, "None", NOW)["columnDefinitions"]
            key = f"{found.api_version}/{gvr.resource}"
            shown[key] = [[column[field] for field in ("name", "type", "format", "priority")] for column in definitions]
    assert shown == recorded


def test_a_whole_table() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c1", "creationTimestamp": MADE},
        "data": {"a": "1"},
    }
    tables = Tables(Scheme.load())
    made = tables.table(resource(CONFIG_MAPS), [obj], {"resourceVersion": "7"}, "Metadata", NOW)
    assert (made["kind"], made["apiVersion"], made["metadata"]) == ("Table", "meta.k8s.io/v1", {"resourceVersion": "7"})
    assert made["rows"] == [
        {
            "cells": ["c1", 1, "5m"],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]},
        }
    ]
    descriptions = [column["description"] for column in made["columnDefinitions"]]
    assert descriptions[0].startswith("Name must be unique within a namespace.")
    assert descriptions[1].startswith("Data contains the configuration data.")
    assert descriptions[2].startswith("CreationTimestamp is a timestamp")
    assert tables.table(resource(CONFIG_MAPS), [obj], {}, "Object", NOW)["rows"][0]["object"] is obj
    later = tables.table(resource(CONFIG_MAPS), [obj], {}, "None", NOW, columns=False)
    assert later["columnDefinitions"] is None
    assert later["rows"][0]["object"] is None
    status = tables.table(resource(NAMESPACES), [], {}, "None", NOW)["columnDefinitions"][1]
    assert status["description"] == "The status of the namespace"


def test_kinds_without_printer_and_kinds_of_others() -> None:
    made = Tables(Scheme.load()).table(METRICS[0], [{"metadata": {"name": "n"}}], {}, "None", NOW)
    assert made["rows"] == [{"cells": ["n", "<unknown>"], "object": None}]
    widgets = Resource("example.com", "v1", "widgets", "widget", "Widget", True, ("get",))
    printer = Printer(columns("Name|Size:i"), lambda obj, now: [obj["metadata"]["name"], obj["size"]])
    tables = Tables(Scheme.load(), {widgets.gvr: (printer, {"Size": "how large"})}.get)
    made = tables.table(widgets, [{"metadata": {"name": "w"}, "size": 3}], {}, "None", NOW)
    assert made["rows"][0]["cells"] == ["w", 3]
    assert [column["description"] for column in made["columnDefinitions"]][1:] == ["how large"]
    assert made["columnDefinitions"][0]["description"].startswith("Name must be unique")
    assert made["columnDefinitions"][1]["type"] == "integer"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (599, "9m59s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (180 * 60, "3h"),
        (3600 * 3 + 60, "3h1m"),
        (3600 * 8, "8h"),
        (3600 * 47, "47h"),
        (86400 * 2, "2d"),
        (86400 * 2 + 3600, "2d1h"),
        (86400 * 8, "8d"),
        (86400 * 729, "729d"),
        (86400 * 731, "2y1d"),
        (86400 * 365 * 9, "9y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


RUNNING = {"running": {"startedAt": MADE}}


def container(name: str = "a", **more: Any) -> Obj:
    return {"name": name, "restartCount": 0, "ready": False, "state": {}, **more}


@pytest.mark.parametrize(
    ("status", "spec", "metadata", "ready", "word", "restarts"),
    [
        ({"phase": "Pending"}, {}, {}, "0/1", "Pending", "0"),
        (
            {"phase": "Running", "containerStatuses": [container(ready=True, state=RUNNING)]},
            {},
            {},
            "1/1",
            "Running",
            "0",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container(
                        restartCount=2,
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"finishedAt": MADE}},
                    )
                ],
            },
            {},
            {},
            "0/1",
            "CrashLoopBackOff",
            "2 (5m ago)",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [container(state={"terminated": {"reason": "Error", "exitCode": 1}})],
            },
            {},
            {},
            "0/1",
            "Error",
            "0",
        ),
        (
            {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 3}})]},
            {},
            {},
            "0/1",
            "ExitCode:3",
            "0",
        ),
        (
            {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 137, "signal": 9}})]},
            {},
            {},
            "0/1",
            "Signal:9",
            "0",
        ),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [container(state={"terminated": {"reason": "Completed", "exitCode": 0}})],
            },
            {},
            {},
            "0/1",
            "Completed",
            "0",
        ),
        ({"phase": "Running"}, {}, {"deletionTimestamp": MADE}, "0/1", "Terminating", "0"),
        ({"phase": "Succeeded"}, {}, {"deletionTimestamp": MADE}, "0/1", "Succeeded", "0"),
        ({"phase": "Running", "reason": "NodeLost"}, {}, {"deletionTimestamp": MADE}, "0/1", "Unknown", "0"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, {}, "0/1", "Evicted", "0"),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            {},
            {},
            "0/1",
            "SchedulingGated",
            "0",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", state=RUNNING)]},
            {"initContainers": [{"name": "i"}, {"name": "j"}]},
            {},
            "0/1",
            "Init:0/2",
            "0",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [container("i", state={"waiting": {"reason": "PodInitializing"}})],
            },
            {"initContainers": [{"name": "i"}]},
            {},
            "0/1",
            "Init:0/1",
            "0",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    container(
                        "i",
                        restartCount=1,
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"finishedAt": MADE}},
                    )
                ],
            },
            {"initContainers": [{"name": "i"}]},
            {},
            "0/1",
            "Init:CrashLoopBackOff",
            "1 (5m ago)",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", state={"terminated": {"exitCode": 2}})]},
            {"initContainers": [{"name": "i"}]},
            {},
            "0/1",
            "Init:ExitCode:2",
            "0",
        ),
        (
            {
                "phase": "Running",
                "initContainerStatuses": [container("s", ready=True, started=True, restartCount=3, state=RUNNING)],
                "containerStatuses": [container(ready=True, state=RUNNING)],
            },
            {"initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            {},
            "2/2",
            "Running",
            "3",
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [
                    container("a", state={"terminated": {"reason": "Completed", "exitCode": 0}}),
                    container("b", ready=True, state=RUNNING),
                ],
            },
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {},
            "1/2",
            "NotReady",
            "0",
        ),
    ],
)
def test_pods(status: Obj, spec: Obj, metadata: Obj, ready: str, word: str, restarts: str) -> None:
    assert pod(status, spec, **metadata)[1:4] == [ready, word, restarts]


def test_wide_columns_of_pods() -> None:
    bare = pod({"phase": "Pending"})
    assert bare[4:] == ["5m", "<none>", "<none>", "<none>", "<none>"]
    placed = pod(
        {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}], "conditions": [{"type": "g", "status": "True"}]},
        {"nodeName": "n", "readinessGates": [{"conditionType": "g"}, {"conditionType": "h"}]},
    )
    assert placed[5:] == ["10.244.0.2", "n", "<none>", "1/2"]
    done = table("v1", "Pod", {"spec": {}, "status": {"phase": "Succeeded"}})
    assert done["rows"][0]["conditions"][0]["reason"] == "Succeeded"
    assert "conditions" not in table("v1", "Pod", {"spec": {}, "status": {"phase": "Running"}})["rows"][0]
    assert Tables(Scheme.load()).table(resource(PODS), [], {}, "None", NOW)["rows"] == []


TEMPLATE = {"template": {"spec": {"containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "e:1"}]}}}
SELECTOR = {"selector": {"matchLabels": {"app": "a"}}}


@pytest.mark.parametrize(
    ("api_version", "kind", "obj", "row"),
    [
        (
            "apps/v1",
            "Deployment",
            {
                "spec": {"replicas": 3, **TEMPLATE, **SELECTOR},
                "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
            },
            ["x", "1/3", 2, 1, "5m", "c,d", "nginx,e:1", "app=a"],
        ),
        (
            "apps/v1",
            "ReplicaSet",
            {"spec": {"replicas": 3, **TEMPLATE, **SELECTOR}, "status": {"replicas": 2}},
            ["x", 3, 2, 0, "5m", "c,d", "nginx,e:1", "app=a"],
        ),
        (
            "apps/v1",
            "StatefulSet",
            {"spec": {"replicas": 1, **TEMPLATE}, "status": {}},
            ["x", "0/1", "5m", "c,d", "nginx,e:1"],
        ),
        (
            "apps/v1",
            "DaemonSet",
            {"spec": {**TEMPLATE, **SELECTOR}, "status": {"desiredNumberScheduled": 1}},
            ["x", 1, 0, 0, 0, 0, "<none>", "5m", "c,d", "nginx,e:1", "app=a"],
        ),
        (
            "batch/v1",
            "Job",
            {"spec": {"completions": 3, **TEMPLATE}, "status": {"succeeded": 1, "startTime": MADE}},
            ["x", "Running", "1/3", "5m", "5m", "c,d", "nginx,e:1", "<none>"],
        ),
        (
            "batch/v1",
            "Job",
            {
                "spec": {"parallelism": 2, **TEMPLATE},
                "status": {
                    "startTime": MADE,
                    "completionTime": "2023-11-14T22:08:40Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["x", "Complete", "0/1 of 2", "20s", "5m", "c,d", "nginx,e:1", "<none>"],
        ),
        (
            "batch/v1",
            "CronJob",
            {
                "spec": {
                    "schedule": "0 0 1 1 *",
                    "suspend": True,
                    "timeZone": "Etc/UTC",
                    "jobTemplate": {"spec": TEMPLATE},
                }
            },
            ["x", "0 0 1 1 *", "Etc/UTC", "True", 0, "<none>", "5m", "c,d", "nginx,e:1", "<none>"],
        ),
        (
            "v1",
            "Service",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIPs": ["10.96.0.9"],
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"app": "a"},
                }
            },
            ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "5m", "app=a"],
        ),
        (
            "v1",
            "Service",
            {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"]}},
            ["x", "LoadBalancer", "10.96.0.9", "<pending>", "<none>", "5m", "<none>"],
        ),
        (
            "v1",
            "Service",
            {"spec": {"type": "ExternalName", "externalName": "example.com"}},
            ["x", "ExternalName", "<none>", "example.com", "<none>", "5m", "<none>"],
        ),
        (
            "v1",
            "Endpoints",
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]},
            ["x", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "5m"],
        ),
        (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            {"addressType": "IPv4", "ports": [{"port": 80}, {"name": "h"}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ["x", "IPv4", "80,h", "10.0.0.1", "5m"],
        ),
        ("v1", "Namespace", {"status": {"phase": "Active"}}, ["x", "Active", "5m"]),
        ("v1", "Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["x", "Opaque", 2, "5m"]),
        (
            "v1",
            "Node",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0"},
                    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                },
            },
            [
                "x",
                "Ready,SchedulingDisabled",
                "control-plane",
                "5m",
                "v1.36.0",
                "10.0.0.1",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>",
            ],
        ),
        (
            "v1",
            "Event",
            {
                "type": "Normal",
                "reason": "Started",
                "message": "go\n",
                "firstTimestamp": MADE,
                "lastTimestamp": MADE,
                "count": 4,
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
                "source": {"component": "kubelet", "host": "n"},
            },
            ["5m", "Normal", "Started", "pod/p", "spec.containers{c}", "kubelet, n", "go", "5m", 4, "x"],
        ),
        (
            "events.k8s.io/v1",
            "Event",
            {
                "type": "Normal",
                "reason": "R",
                "note": "n",
                "eventTime": MADE,
                "regarding": {"kind": "Node"},
                "reportingController": "sched",
                "series": {"count": 9, "lastObservedTime": MADE},
            },
            ["5m", "Normal", "R", "node", "", "sched", "n", "5m", 9, "x"],
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            {
                "spec": {"volumeName": "v", "storageClassName": "standard", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            },
            ["x", "Bound", "v", "1Gi", "RWO", "standard", "<unset>", "5m", "Filesystem"],
        ),
        (
            "v1",
            "PersistentVolume",
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                    "persistentVolumeReclaimPolicy": "Delete",
                    "claimRef": {"namespace": "n", "name": "c"},
                },
                "status": {"phase": "Bound"},
            },
            ["x", "1Gi", "RWO,ROX", "Delete", "Bound", "n/c", "", "<unset>", "", "5m", "<unset>"],
        ),
        (
            "storage.k8s.io/v1",
            "StorageClass",
            {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"},
            ["x (default)", "p", "Delete", "Immediate", False, "5m"],
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                        }
                    ],
                },
                "status": {"currentReplicas": 2},
            },
            ["x", "Deployment/d", "cpu: <unknown>/50%", "1", 5, 2, "5m"],
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "maxReplicas": 5,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
                        }
                    ],
                },
                "status": {
                    "currentMetrics": [
                        {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "64Mi"}}}
                    ]
                },
            },
            ["x", "Deployment/d", "memory: 64Mi/1Gi", "<unset>", 5, 0, "5m"],
        ),
        (
            "autoscaling/v1",
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "maxReplicas": 5,
                    "targetCPUUtilizationPercentage": 80,
                },
                "status": {"currentCPUUtilizationPercentage": 20},
            },
            ["x", "Deployment/d", "cpu: 20%/80%", "<unset>", 5, 0, "5m"],
        ),
        (
            "networking.k8s.io/v1",
            "Ingress",
            {
                "spec": {"rules": [{"host": "a"}, {"host": "b"}, {}], "tls": [{}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "h"}]}},
            },
            ["x", "<none>", "a,b", "1.2.3.4,h", "80, 443", "5m"],
        ),
        (
            "networking.k8s.io/v1",
            "IngressClass",
            {"spec": {"controller": "c", "parameters": {"kind": "K", "apiGroup": "g", "name": "n"}}},
            ["x", "c", "K.g/n", "5m"],
        ),
        ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": {}}}, ["x", "<none>", "5m"]),
        (
            "policy/v1",
            "PodDisruptionBudget",
            {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
            ["x", "50%", "N/A", 1, "5m"],
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            {
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                    {"kind": "User", "name": "v"},
                ],
            },
            ["x", "Role/r", "5m", "u, v", "", "n/s"],
        ),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", {"rules": []}, ["x", MADE]),
        (
            "scheduling.k8s.io/v1",
            "PriorityClass",
            {"value": 7, "preemptionPolicy": "Never"},
            ["x", 7, False, "5m", "Never"],
        ),
        ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "me"}}, ["x", "me", "5m"]),
        (
            "v1",
            "ResourceQuota",
            {"status": {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}},
            ["x", "pods: 1/5", "limits.cpu: 0/2", "5m"],
        ),
        (
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            {
                "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
                "status": {"certificate": "x", "conditions": [{"type": "Approved"}]},
            },
            ["x", "5m", "s", "u", "60m", "Approved,Issued"],
        ),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            {
                "spec": {"service": {"namespace": "n", "name": "s"}},
                "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]},
            },
            ["x", "n/s", "False (MissingEndpoints)", "5m"],
        ),
        (
            "apps/v1",
            "ControllerRevision",
            {
                "revision": 2,
                "metadata": {
                    "ownerReferences": [
                        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "controller": True}
                    ]
                },
            },
            ["x", "statefulset.apps/s", 2, "5m"],
        ),
    ],
)
def test_rows(api_version: str, kind: str, obj: Obj, row: list[Any]) -> None:
    assert cells(api_version, kind, obj) == row


@pytest.mark.parametrize("found", Scheme.load().resources.values(), ids=lambda found: f"{found.group}/{found.resource}")
def test_no_printer_needs_more_than_a_name(found: Resource) -> None:
    bare = {"apiVersion": found.api_version, "kind": found.kind, "metadata": {"name": "x"}}
    made = Tables(Scheme.load()).table(found, [bare], {}, "Metadata", NOW)
    assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])
