"""What people type at kubectl when no node is needed, verb by verb, with the oldest and the newest release at hand.

`test_apiserver_kubectl.py` has the shorter ways, `test_kubectl_releases.py` every release's main way.
"""

from __future__ import annotations

import json
import re

import pytest
import yaml
from kubectl_tool import IMAGE, WEB, Kubectl, newest, oldest_and_newest

pytestmark = pytest.mark.kubectl


def natural(name: str) -> list[str | int]:
    """As kubectl sorts: numbers by their value, and what follows a pod's last dash may begin with one."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@oldest_and_newest
def test_every_way_to_look(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=50s")
    assert kubectl("get", "deploy").splitlines()[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    wide = kubectl("get", "deploy", "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide[1].split()[-3:] == ["c", "nginx:1", "app=web"]
    assert yaml.safe_load(kubectl("get", "deploy", "web", "-o", "yaml"))["spec"]["replicas"] == 2
    assert kubectl.json("deploy")["kind"] == "List"
    assert kubectl("get", "deploy,svc", "-o", "name").split() == ["deployment.apps/web", "service/web"]
    assert kubectl("get", "deploy", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas").split() == [
        "N", "R", "web", "2",
    ]  # fmt: skip
    assert kubectl.path("{range .items[*]}{.metadata.name}={.spec.replicas};{end}", "deploy") == "web=2;"
    template = "{{range .items}}{{.metadata.name}}{{end}}"
    assert kubectl("get", "deploy", "-o", f"go-template={template}") == "web"
    by_name = kubectl("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()
    assert by_name == sorted(by_name, key=natural)
    names = sorted(by_name)
    assert len(names) == 2
    for selector in ("status.phase=Pending", "spec.nodeName=", "metadata.name!=x", "spec.restartPolicy=Always"):
        assert kubectl("get", "pods", f"--field-selector={selector}", "-o", "name").split() == names
    assert kubectl("get", "pods", "-l", "app in (web,x),!nope", "--chunk-size=1", "-o", "name").split() == names
    assert kubectl("get", "deploy", "--show-labels").split()[-1] == "app=web,tier=front"
    assert kubectl("get", "deploy", "-L", "tier").split()[-1] == "front"
    assert "field label not supported: bogus" in kubectl.fails("get", "pods", "--field-selector=bogus=1")
    assert "web" in kubectl("get", "all")
    with kubectl.lines("get", "deploy", "-w", "-o", "jsonpath={.spec.replicas}{'\\n'}") as lines:
        assert next(lines) == "2\n"
        kubectl("scale", "deploy/web", "--replicas=1")
        assert "1\n" in lines  # reads on until it comes
    with kubectl.lines("get", "cm", "-w", "--no-headers", "--output-watch-events") as lines:
        assert next(lines).split()[:2] == ["ADDED", "kube-root-ca.crt"]
        kubectl("create", "cm", "late")
        assert next(lines).split()[:2] == ["ADDED", "late"]


@oldest_and_newest
def test_every_way_to_change(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WEB)
    spec = "{.spec.replicas}"
    kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":0}}')
    kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"labels":{"tier":null}}}')
    kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":1}]')
    assert kubectl.path(spec, "deploy", "web") == "1"
    assert kubectl.path("{.metadata.labels.tier}", "deploy", "web") == ""
    wrong = '[{"op":"test","path":"/spec/replicas","value":9}]'
    message = kubectl.fails("patch", "deploy", "web", "--type=json", "-p", wrong)
    assert "testing value /spec/replicas failed: test failed" in message
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"B","$patch":"delete"}]}]}}}}'
    kubectl("patch", "deploy", "web", "-p", strategic)
    assert kubectl.path("{..env[*].name}", "deploy", "web") == "A"
    kubectl("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    assert kubectl.path(spec, "deploy", "web") == "2"
    assert "replaced" in kubectl("replace", "-f", "-", stdin=WEB.replace("nginx:1", "nginx:5"))
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:5"
    assert "Expected replicas to be 9" in kubectl.fails("scale", "deploy/web", "--replicas=1", "--current-replicas=9")
    kubectl("set", "image", "deploy/web", "c=nginx:6")
    kubectl("set", "env", "deploy/web", "X=Y", "A-")
    kubectl("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=100m")
    kubectl("set", "serviceaccount", "deploy/web", "default")
    kubectl("set", "selector", "svc/web", "app=other")
    container = json.loads(kubectl.path("{.spec.template.spec.containers[0]}", "deploy", "web"))
    assert {entry["name"] for entry in container["env"]} == {"B", "X"}
    assert container["image"] == "nginx:6"
    assert container["resources"] == {"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
    assert kubectl.path("{.spec.selector.app}", "svc", "web") == "other"
    kubectl("autoscale", "deploy", "web", "--min=1", "--max=4", "--cpu-percent=50")
    assert kubectl.path("{.spec.metrics[0].resource.target.averageUtilization}", "hpa", "web") == "50"
    kubectl("label", "deploy", "web", "a=b")
    assert "--overwrite is false" in kubectl.fails("label", "deploy", "web", "a=c")
    kubectl("label", "deploy", "web", "a=c", "--overwrite")
    kubectl("label", "deploy", "web", "a-")
    kubectl("annotate", "deploy", "web", "n=1", "note=second", "--overwrite")
    assert json.loads(kubectl.path("{.metadata.annotations}", "deploy", "web"))["note"] == "second"
    kubectl("rollout", "pause", "deploy/web")
    assert "already paused" in kubectl.fails("rollout", "pause", "deploy/web")
    kubectl("rollout", "resume", "deploy/web")
    kubectl("rollout", "restart", "deploy/web")
    assert "restartedAt" in kubectl.path("{.spec.template.metadata.annotations}", "deploy", "web")
    with kubectl.lines("rollout", "status", "deploy/web") as lines:
        assert next(lines).startswith("Waiting for deployment")
    assert "(server dry run)" in kubectl("delete", "deploy", "web", "--dry-run=server")
    assert "(server dry run)" in kubectl("apply", "-f", "-", "--dry-run=server", stdin=WEB)
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:6"


CREATORS = (
    "deployment d --image=i --replicas=2 --port=80",
    "configmap cm --from-literal=a=b",
    "secret generic s --from-literal=a=b",
    "secret docker-registry dr --docker-username=a --docker-password=b --docker-server=c",
    "serviceaccount sa",
    "role r --verb=get,list --resource=pods,deployments.apps",
    "rolebinding rb --role=r --serviceaccount={ns}:sa",
    "clusterrole cr-{ns} --verb=get --non-resource-url=/x",
    "clusterrolebinding crb-{ns} --clusterrole=cr-{ns} --user=u",
    "job j --image=i -- echo hi",
    "cronjob cj --image=i --schedule=*/5",
    "ingress ing --rule=a.b/*=web:80",
    "poddisruptionbudget pdb --selector=app=web --min-available=1",
    "priorityclass pc-{ns} --value=5",
    "quota q --hard=pods=50",
    "service clusterip s1 --tcp=80:8080",
    "service nodeport s2 --tcp=80:8080",
    "service loadbalancer s3 --tcp=80:8080",
    "service externalname s4 --external-name=a.b",
)
MORE = """# kubectl takes what begins with a brace for JSON
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: pvc},
 spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: sts},
 spec: {serviceName: s, selector: {matchLabels: {a: b}},
        template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: ds},
 spec: {selector: {matchLabels: {a: c}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np}, spec: {podSelector: {}}}
---
{apiVersion: v1, kind: LimitRange, metadata: {name: lr}, spec: {limits: [{type: Container, max: {cpu: "4"}}]}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: lease}, spec: {holderIdentity: me}}
"""
DESCRIBED = (
    "deployment/d", "pod/p", "configmap/cm", "secret/s", "serviceaccount/sa", "role/r", "rolebinding/rb",
    "job/j", "cronjob/cj", "ingress/ing", "poddisruptionbudget/pdb", "resourcequota/q", "service/s1", "service/s3",
    "horizontalpodautoscaler/h", "endpoints/s1", "persistentvolumeclaim/pvc", "statefulset/sts",
    "daemonset/ds", "networkpolicy/np", "limitrange/lr", "lease/lease", "clusterrole/view", "storageclass/standard",
    "clusterrolebinding/cluster-admin", "priorityclass/system-node-critical", "namespace/default", "apiservice/v1.apps",
)  # fmt: skip


@newest
def test_create_and_describe(kubectl: Kubectl) -> None:
    for creator in CREATORS:
        words = creator.replace("{ns}", kubectl.namespace).split()
        words = [f"{word} * * * *" if word.startswith("--schedule") else word for word in words]
        assert " created" in kubectl("create", *words), creator
    kubectl("create", "-f", "-", stdin=MORE)
    kubectl("create", "job", "j2", "--from=cronjob/cj")
    kubectl("run", "p", "--image=i", "--labels=a=b", "--env=A=B")
    kubectl("expose", "deployment", "d", "--name=exposed", "--port=80", "--type=NodePort")
    kubectl("autoscale", "deployment", "d", "--name=h", "--max=3")
    assert "AlreadyExists" in kubectl.fails("create", "-f", "-", stdin=MORE)
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/d", "--timeout=50s")
    names = [what.partition("/")[2] for what in DESCRIBED]
    assert re.findall(r"^Name: +(\S+)", kubectl("describe", *DESCRIBED), re.M) == names
    assert kubectl("get", *DESCRIBED, "-o", "name").count("\n") == len(names)
    for kind in ("replicaset", "endpointslice"):
        assert re.search(r"^Name: +\S", kubectl("describe", kind), re.M), kind
    assert kubectl("get", "events", "--field-selector=reason=ScalingReplicaSet", "-o", "name")
    assert "Scaled up replica set" in kubectl("describe", "deployment", "d")
    assert kubectl("create", "token", "sa", "--duration=20m").count(".") == 2
    assert "may not specify a duration less than 10 minutes" in kubectl.fails("create", "token", "sa", "--duration=1m")
    for name in (f"clusterrole/cr-{kubectl.namespace}", f"clusterrolebinding/crb-{kubectl.namespace}"):
        kubectl("delete", name, f"priorityclass/pc-{kubectl.namespace}", "--ignore-not-found")


@newest
def test_explain_knows_every_kind(kubectl: Kubectl) -> None:
    for name in ("deployments", "pods", "services", "nodes", "cronjobs.batch", "events", "hpa", "networkpolicies"):
        assert "FIELDS:" in kubectl("explain", name, "--recursive"), name
    assert 'field "nope" does not exist' in kubectl.fails("explain", "pod.spec.nope")
    assert "ENUM:" in kubectl("explain", "pod.spec.restartPolicy")


@newest
def test_nodes(kubectl: Kubectl, release: str) -> None:
    name = f"node-{release.replace('.', '')}"
    kubectl("create", "-f", "-", stdin=f"apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}")
    try:
        assert "tainted" in kubectl("taint", "node", name, "k=v:NoSchedule")
        assert "cordoned" in kubectl("cordon", name)
        assert kubectl.path("{.spec.unschedulable}", "node", name) == "true"
        assert "SchedulingDisabled" in kubectl("get", "node", name)
        assert "uncordoned" in kubectl("uncordon", name)
        assert "k=v:NoSchedule" in kubectl("describe", "node", name)
        assert "untainted" in kubectl("taint", "node", name, "k-")
        assert "drained" in kubectl("drain", name, "--ignore-daemonsets")
    finally:
        kubectl("delete", "node", name)


@oldest_and_newest
def test_delete_in_every_way(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WEB)
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=50s")
    kubectl("delete", "deploy", "web", "--cascade=orphan")
    (replica_set,) = kubectl("get", "rs", "-o", "name").split()
    pods = kubectl("get", "pods", "-o", "name").split()
    assert kubectl.path("{.metadata.ownerReferences}", replica_set) == ""
    kubectl("create", "-f", "-", stdin=WEB.partition("---")[0])  # adopts it
    kubectl("wait", "--for=jsonpath={.metadata.ownerReferences[0].name}=web", replica_set, "--timeout=50s")
    assert kubectl("get", "pods", "-o", "name").split() == pods
    kubectl("delete", "deploy", "web", "--cascade=foreground")
    assert kubectl("get", "deploy,rs,pods", "-o", "name") == ""
    kubectl("create", "-f", "-", stdin=WEB.partition("---")[0])
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=50s")
    kubectl("delete", "deploy", "-l", "app=web")
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=50s")
    kubectl("create", "cm", "one")
    kubectl("create", "cm", "two")
    kubectl("delete", "cm", "--field-selector=metadata.name=one")
    assert "configmap/two" in kubectl("get", "cm", "-o", "name").split()
    kubectl("delete", "cm", "--all")
    kubectl("delete", "cm", "gone", "--ignore-not-found")
    assert '"gone" not found' in kubectl.fails("delete", "cm", "gone")


def _mistakes() -> dict[str, tuple[str, str]]:
    """Manifest -> what kubectl must say of it."""
    web, _, _ = WEB.partition("---")
    service = "kind: Service\napiVersion: v1\nmetadata: {name: s}\nspec: {ports: [{port: %s}]}"
    labelled = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: c, labels: {a: 'b c'}}"
    return {
        "unknown field": (web.replace("replicas", "replicaz"), 'unknown field "spec.replicaz"'),
        "wrong type": (web.replace("replicas: 2", 'replicas: "2"'), "of type int32"),
        "selector": (web.replace("matchLabels: {app: web}", "matchLabels: {app: x}"), "`selector` does not match template"),
        "port": (service % 70000, "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        "label": (labelled, "a valid label must be an empty string or consist of alphanumeric characters"),
        "no name": ("kind: ConfigMap\napiVersion: v1\nmetadata: {}", "name or generateName is required"),
        "kind": ("kind: Nope\napiVersion: v1\nmetadata: {name: x}", 'no matches for kind "Nope" in version "v1"'),
        "YAML": ("a: b: c", "mapping values are not allowed in this context"),
        "JSON": ('{"kind": "ConfigMap", ', "error"),
    }  # fmt: skip


@oldest_and_newest
def test_mistakes(kubectl: Kubectl) -> None:
    before = kubectl("get", "cm,svc,deploy", "-o", "name")
    for what, (manifest, expected) in _mistakes().items():
        assert expected in kubectl.fails("create", "-f", "-", stdin=manifest), what
    assert kubectl("get", "svc,deploy", "-o", "name") == ""
    assert {*kubectl("get", "cm,svc,deploy", "-o", "name").split()} - {*before.split()} <= {
        "configmap/kube-root-ca.crt"
    }
