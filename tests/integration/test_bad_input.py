"""Bad objects, patches, selectors and parameters from outside: Kubernetes' status, reason and message; nothing is stored.

Texts are Kubernetes 1.36's. `test_bad_requests.py` has what is no HTTP, no JSON, or nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from client_world import eventually
from control_plane_process import ControlPlane
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMESPACE = "bad-input"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
MAPS, SECRETS, PODS, SERVICES = f"{CORE}/configmaps", f"{CORE}/secrets", f"{CORE}/pods", f"{CORE}/services"
CLAIMS, DEPLOYMENTS = f"{CORE}/persistentvolumeclaims", f"{APPS}/deployments"
JSON, YAML = "application/json", "application/yaml"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRICT = "?fieldValidation=Strict"
NAME = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
IMMUTABLE = "field is immutable when `immutable` is set"
NO_METHOD = "the server does not allow this method on the requested resource"
NO_RESOURCE = "the server could not find the requested resource"
REJECTED = "the server rejected our request due to an error in our request"
OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
MODIFIED = (
    'Operation cannot be fulfilled on configmaps "frozen": the object has been modified; please apply your changes to the '
    "latest version and try again"
)
FORMATS = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


def config_map(name: str = "new", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **more}


def deployment(name: str = "new", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels or {"a": "b"}}, "template": pod, **spec},
    }


def service(**port: Any) -> dict[str, Any]:
    return {"metadata": {"name": "new"}, "spec": {"ports": [port]}}


@pytest.fixture(scope="module")
def bad(plane: ControlPlane) -> Iterator[ControlPlane]:
    """A namespace with one object of each kind that is changed below, of which controllers have said all they have to say."""
    plane.ask("POST", "/api/v1/namespaces", config_map(NAMESPACE))
    there = [
        (MAPS, config_map("frozen", data={"a": "b"}, immutable=True)),
        (SECRETS, config_map("frozen", data={"a": "YQ=="}, immutable=True)),
        (SERVICES, config_map("there", spec={"ports": [{"port": 80}]})),
        (DEPLOYMENTS, deployment("there", replicas=0, paused=True)),
        (PODS, config_map("there", spec={"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]})),
        (CLAIMS, config_map("there", spec={"storageClassName": "none", "accessModes": ["ReadWriteOnce"],
                                           "resources": {"requests": {"storage": "1Gi"}}})),
    ]  # fmt: skip
    eventually(lambda: plane.ask("GET", f"{CORE}/serviceaccounts/default").status == 200)
    for path, obj in there:
        assert plane.ask("POST", path, obj).status == 201, path
    eventually(lambda: "observedGeneration" in plane.ask("GET", f"{DEPLOYMENTS}/there").body.get("status", {}))
    eventually(lambda: plane.ask("GET", f"{CORE}/configmaps/kube-root-ca.crt").status == 200)
    eventually(lambda: plane.ask("GET", f"{CORE}/events").body["items"])  # nobody provides what the claim asks for
    yield plane
    plane.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def refused(plane: ControlPlane, *request: Any, **headers: str) -> tuple[int, str, str]:
    """(code, reason, message); nothing of the namespace was written."""
    before = plane.revision()
    problem = plane.ask(*request, **headers).problem
    assert [key for key in plane.written_since(before) if NAMESPACE in key] == []
    return problem


def invalid(kind: str, name: str, problem: str) -> tuple[int, str, str]:
    return 422, "Invalid", f'{kind} "{name}" is invalid: {problem}'


def unfit(kind: str, problem: str) -> tuple[int, str, str]:
    return 400, "BadRequest", f'{kind} in version "v1" cannot be handled as a {kind}: {problem}'


def unreadable(problem: str) -> tuple[int, str, str]:
    return 400, "BadRequest", f"the object provided is unrecognized (must be of type ConfigMap): {problem}"


DOUBLE = b'{"metadata":{"name":"new"},"data":{"a":"1","a":"2"}}'
CREATES: dict[str, tuple[str, Any, tuple[int, str, str]]] = {
    "unknown field": (MAPS + STRICT, config_map(foo=1, bar={}),
        unfit("ConfigMap", 'strict decoding error: unknown field "foo", unknown field "bar"')),
    "unknown field inside": (DEPLOYMENTS + STRICT, deployment(replicaz=1),
        unfit("Deployment", 'strict decoding error: unknown field "spec.replicaz"')),
    "duplicate field": (MAPS + STRICT, DOUBLE, unfit("ConfigMap", 'strict decoding error: duplicate field "data.a"')),
    "wrong type": (DEPLOYMENTS, deployment(replicas="2"), unfit("Deployment",
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32")),
    "wrong type of a list": (PODS, config_map(spec={"containers": {}}), unfit("Pod",
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container")),
    "no base64": (SECRETS, config_map(data={"a": "!!"}), unfit("Secret", "illegal base64 data at input byte 0")),
    "missing name": (MAPS, {}, invalid("ConfigMap", "", "metadata.name: Required value: name or generateName is required")),
    "bad name": (MAPS, config_map("Bad_Name"),
        invalid("ConfigMap", "Bad_Name", f'metadata.name: Invalid value: "Bad_Name": {NAME}')),
    "NUL in the name": (MAPS, config_map("a\0b"),
        invalid("ConfigMap", "a\0b", rf'metadata.name: Invalid value: "a\x00b": {NAME}')),
    "long name": (MAPS, config_map("a" * 254),
        invalid("ConfigMap", "a" * 254, f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters')),
    "bad label": (MAPS, {"metadata": {"name": "new", "labels": {"a b": "c d"}}}, invalid("ConfigMap", "new",
        f'[metadata.labels: Invalid value: "a b": {KEY}, metadata.labels: Invalid value: "c d": {VALUE}]')),
    "bad annotation": (MAPS, {"metadata": {"name": "new", "annotations": {"a b": ""}}},
        invalid("ConfigMap", "new", f'metadata.annotations: Invalid value: "a b": {KEY}')),
    "selector mismatch": (DEPLOYMENTS, deployment(labels={"a": "c"}), invalid("Deployment.apps", "new",
        'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`')),
    "no containers": (PODS, config_map(spec={}), invalid("Pod", "new", "spec.containers: Required value")),
    "port": (SERVICES, service(port=70000, targetPort=1), invalid("Service", "new",
        "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive")),
    "target port": (SERVICES, service(port=80, targetPort="x_y"), invalid("Service", "new",
        'spec.ports[0].targetPort: Invalid value: "x_y": must contain only alpha-numeric characters (a-z, 0-9), and hyphens '
        "(-)")),
    "node port": (SERVICES, config_map(spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        invalid("Service", "new", "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The "
        "range of valid ports is 30000-32767")),
    "cluster IP of nobody": (SERVICES, config_map(spec={"clusterIP": "1.2.3.4", "ports": [{"port": 80}]}),
        invalid("Service", "new", 'spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided '
        "network does not match the current range")),
    "cluster IP of another": (SERVICES, config_map(spec={"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}),
        invalid("Service", "new", 'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided '
        "IP is already allocated")),
    "too much data": (MAPS, config_map(data={"a": "x" * (1 << 20 | 1)}),
        invalid("ConfigMap", "new", "[]: Too long: may not be more than 1048576 bytes")),
    "10 MB": (MAPS, config_map(data={"a": "x" * (10 << 20)}),
        (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")),
    "wrong kind": (MAPS, {"kind": "Pod", "apiVersion": "v1"}, (400, "BadRequest",
        'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion')),
    "wrong version": (MAPS, {"kind": "ConfigMap", "apiVersion": "v2"}, (400, "BadRequest",
        "the API version in the data (v2) does not match the expected API version (v1)")),
    "wrong namespace": (MAPS, {"metadata": {"name": "new", "namespace": "default"}}, (400, "BadRequest", OTHER_NAMESPACE)),
    "no such namespace": ("/api/v1/namespaces/nope/configmaps", config_map(),
        (404, "NotFound", 'namespaces "nope" not found')),
    "exists": (MAPS, config_map("frozen"), (409, "AlreadyExists", 'configmaps "frozen" already exists')),
    "unknown validation": (MAPS + "?fieldValidation=Maybe", config_map(), invalid("CreateOptions.meta.k8s.io", "",
        'fieldValidation: Unsupported value: "Maybe": supported values: "", "Ignore", "Strict", "Warn"')),
    "unknown dry run": (MAPS + "?dryRun=Some", config_map(), invalid("CreateOptions.meta.k8s.io", "",
        'dryRun: Unsupported value: ["Some"]: supported values: "All"')),
    "long manager": (MAPS + f"?fieldManager={'a' * 129}", config_map(), invalid("CreateOptions.meta.k8s.io", "",
        "fieldManager: Too long: may not be more than 128 bytes")),
}  # fmt: skip


@pytest.mark.parametrize("what", CREATES)
def test_objects_that_are_refused(bad: ControlPlane, what: str) -> None:
    target, body, expected = CREATES[what]
    assert refused(bad, "POST", target, body) == expected


def test_warn_and_ignore_say_less(bad: ControlPlane) -> None:
    for level, body, warnings in (
        ("Warn", json.dumps(config_map(foo=1)).encode(), ('299 - "unknown field \\"foo\\""',)),
        ("Warn", DOUBLE, ('299 - "duplicate field \\"data.a\\""',)),
        ("Ignore", json.dumps(config_map(foo=1)).encode(), ()),
        ("Ignore", DOUBLE, ()),
    ):
        before = bad.revision()
        said = bad.ask("POST", f"{MAPS}?dryRun=All&fieldValidation={level}", body)
        assert (said.status, said.warnings) == (201, warnings)
        assert "foo" not in said.body
        assert [key for key in bad.written_since(before) if NAMESPACE in key] == []


YAMLS = {
    b"a: b: c": unreadable("error converting YAML to JSON: yaml: mapping values are not allowed in this context"),
    b"a:\n\t- b": unreadable(
        "error converting YAML to JSON: yaml: line 2: found character that cannot start any token"
    ),
    b"metadata: {name: new}\ndata: {a: b, a: c}\n": unfit(
        "ConfigMap", 'strict decoding error: yaml: unmarshal errors:\n  line 2: key "a" already set in map'
    ),
    b"metadata: {name: new}\ndatta: {}\n": unfit("ConfigMap", 'strict decoding error: unknown field "datta"'),
}


@pytest.mark.parametrize("body", YAMLS)
def test_yaml(bad: ControlPlane, body: bytes) -> None:
    code, reason, message = refused(bad, "POST", MAPS + STRICT, body, YAML)
    expected = YAMLS[body]
    assert (code, reason) == expected[:2]
    assert message.startswith(expected[2])


JSONS = {
    b"": "unexpected end of JSON input (<empty>)",
    b'{"metadata":{"name":"new"': 'unexpected end of JSON input ({"metadata":{"name":"new")',
    b"{metadata:1}": "invalid character 'm' looking for beginning of object key string ({metadata:1})",
    b'{"a":1} {}': "invalid character '{' after top-level value ({\"a\":1} {})",
    b'{"a":NaN}': "invalid character 'N' looking for beginning of value ({\"a\":NaN})",
    b'{"a":"\0"}': 'invalid character \'\\u0000\' in string literal ({"a":"\0"})',
    b'{"a":' + b"9" * 5000 + b"}": "invalid number",
    b"[" * 100_000: "exceeded max depth",
    b"[" * 100_000 + b"]" * 100_000: "exceeded max depth",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: "exceeded max depth",
    b"[]": "json: cannot unmarshal array into Go value",
    b'"x"': "json: cannot unmarshal string into Go value",
}


@pytest.mark.parametrize("body", JSONS, ids=lambda body: repr(body[:20]))
def test_json(bad: ControlPlane, body: bytes) -> None:
    code, reason, message = refused(bad, "POST", MAPS, body)
    assert (code, reason) == (400, "BadRequest")
    assert message.startswith(unreadable(f"couldn't get version/kind; json parse error: {JSONS[body]}")[2])


def test_what_is_no_unicode_is_replaced(bad: ControlPlane) -> None:
    for text in (b"\xff", b"\\ud800", b"\\udc00"):
        body = b'{"metadata":{"name":"new"},"data":{"a":"%b"}}' % text
        assert bad.ask("POST", f"{MAPS}?dryRun=All", body).body["data"] == {"a": "\ufffd"}


ONE_MAP, ONE_SECRET, ONE_SERVICE = f"{MAPS}/frozen", f"{SECRETS}/frozen", f"{SERVICES}/there"
ONE_CLAIM, ONE_DEPLOYMENT, ONE_POD = f"{CLAIMS}/there", f"{DEPLOYMENTS}/there", f"{PODS}/there"
TEMPLATE = {"metadata": {"labels": {"x": "y"}}}


def template(**container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


CHANGES: dict[str, tuple[str, str, Any, tuple[int, str, str]]] = {
    "selector": (ONE_DEPLOYMENT, STRATEGIC, {"spec": {"selector": {"matchLabels": {"x": "y"}}, "template": TEMPLATE}},
        invalid("Deployment.apps", "there",
        'spec.selector: Invalid value: {"matchLabels":{"a":"b","x":"y"}}: field is immutable')),
    "cluster IP": (ONE_SERVICE, MERGE, {"spec": {"clusterIP": "10.96.0.99"}}, invalid("Service", "there",
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.99"]: may not change once set')),
    "immutable data": (ONE_MAP, MERGE, {"data": {"a": "c"}}, invalid("ConfigMap", "frozen", f"data: Forbidden: {IMMUTABLE}")),
    "immutable itself": (ONE_MAP, MERGE, {"immutable": None},
        invalid("ConfigMap", "frozen", f"immutable: Forbidden: {IMMUTABLE}")),
    "immutable Secret": (ONE_SECRET, MERGE, {"data": {"a": "Yg=="}},
        invalid("Secret", "frozen", f"data: Forbidden: {IMMUTABLE}")),
    "type of a Secret": (ONE_SECRET, MERGE, {"type": "x/y"},
        invalid("Secret", "frozen", 'type: Invalid value: "x/y": field is immutable')),
    "claim": (ONE_CLAIM, MERGE, {"spec": {"accessModes": ["ReadOnlyMany"]}}, invalid("PersistentVolumeClaim", "there",
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
        "claims")),
    "pod": (ONE_POD, MERGE, {"spec": {"nodeName": "x"}}, invalid("Pod", "there",
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")),
    "replicas": (f"{ONE_DEPLOYMENT}/scale", MERGE, {"spec": {"replicas": -1}}, invalid("Scale.autoscaling", "there",
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0")),
    "name": (ONE_MAP, MERGE, {"metadata": {"name": "x"}}, (400, "BadRequest",
        "the name of the object (x) does not match the name on the URL (frozen)")),
    "namespace": (ONE_MAP, MERGE, {"metadata": {"namespace": "x"}}, (400, "BadRequest", OTHER_NAMESPACE)),
    "stale version": (ONE_MAP, MERGE, {"metadata": {"resourceVersion": "1"}}, (409, "Conflict", MODIFIED)),
    "nothing there": (f"{MAPS}/nope", MERGE, {}, (404, "NotFound", 'configmaps "nope" not found')),
    "pointer to nowhere": (ONE_DEPLOYMENT, JSON_PATCH, [{"op": "replace", "path": "/spec/x/y", "value": 1}],
        (422, "Invalid", REJECTED)),
    "test that fails": (ONE_DEPLOYMENT, JSON_PATCH, [{"op": "test", "path": "/spec/replicas", "value": 7}],
        (422, "Invalid", REJECTED)),
    "unknown operation": (ONE_DEPLOYMENT, JSON_PATCH, [{"op": "frob", "path": "/spec"}], (422, "Invalid", REJECTED)),
    "no list of operations": (ONE_DEPLOYMENT, JSON_PATCH, {"op": "test"}, (400, "BadRequest",
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")),
    "broken patch": (ONE_DEPLOYMENT, MERGE, b"{", (400, "BadRequest", "error decoding patch: unexpected end of JSON input")),
    "list as a patch": (ONE_DEPLOYMENT, MERGE, [], (400, "BadRequest",
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}")),
    "unknown directive": (ONE_DEPLOYMENT, STRATEGIC, template(name="c", **{"$patch": "frob"}), (400, "BadRequest",
        "unknown patch type: frob in map: map[$patch:frob name:c]")),
    "no merge key": (ONE_DEPLOYMENT, STRATEGIC, template(image="x"), (400, "BadRequest",
        "map: map[image:x] does not contain declared merge key: name")),
    "patch type": (ONE_DEPLOYMENT, JSON, {}, (415, "UnsupportedMediaType", "415: Unsupported Media Type")),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_changes_that_are_refused(bad: ControlPlane, what: str) -> None:
    target, content_type, patch, (code, reason, message) = CHANGES[what]
    before = bad.revision()
    said = bad.ask("PATCH", target, patch, content_type)
    assert (said.status, said.body.get("reason", "")) == (code, reason), said.body
    assert said.body["message"].partition("\n")[0].startswith(message), said.body["message"]
    assert [key for key in bad.written_since(before) if NAMESPACE in key] == []


def test_puts_that_are_refused(bad: ControlPlane) -> None:
    stale = {"metadata": {"name": "frozen", "resourceVersion": "1"}}
    assert refused(bad, "PUT", ONE_MAP, stale) == (409, "Conflict", MODIFIED)
    assert refused(bad, "PUT", ONE_MAP, config_map("x"))[:2] == (400, "BadRequest")
    assert refused(bad, "PUT", f"{MAPS}/nope", config_map("nope")) == (404, "NotFound", 'configmaps "nope" not found')


def _not_found(target: str) -> tuple[str, str, int, str, str]:
    return "GET", target, 404, "NotFound", NO_RESOURCE


def _no_method(method: str, target: str) -> tuple[str, str, int, str, str]:
    return method, target, 405, "MethodNotAllowed", NO_METHOD


def _options(query: str, message: str, code: int = 400, reason: str = "BadRequest") -> tuple[str, str, int, str, str]:
    return "GET", f"{MAPS}?{query}", code, reason, message


LIST_OPTIONS = 'ListOptions.meta.k8s.io "" is invalid: '
ABC = 'strconv.ParseInt: parsing "abc": invalid syntax'
ASKED = [
    *map(_not_found, ("/api/v1/nopes", f"{CORE}/nopes/x", "/apis/apps/v9/deployments", f"{ONE_DEPLOYMENT}/nope",
                      f"{ONE_POD}/nope", "/apis/apps/v9")),
    _no_method("PUT", MAPS), _no_method("POST", ONE_MAP), _no_method("PATCH", MAPS), _no_method("DELETE", "/api/v1/namespaces"),
    _no_method("POST", "/api/v1/configmaps"), _no_method("DELETE", f"{ONE_DEPLOYMENT}/scale"), _no_method("FOO", "/api/v1/pods"),
    _no_method("OPTIONS", MAPS), _no_method("FOO", "/version"),
    _options("labelSelector=" + quote("a===b"), "unable to parse requirement: found '=', expected: identifier"),
    _options("labelSelector=" + quote("a in (b"), "unable to parse requirement: found '', expected: ',' or ')'"),
    _options("labelSelector=%ff%00", 'unable to parse requirement: <nil>: Invalid value: "\ufffd\0": ' + KEY),
    _options("fieldSelector=a", "invalid selector: 'a'; can't understand 'a'"),
    _options(
        "fieldSelector=spec.x%3Dy",
        '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
    _options("resourceVersion=abc", 'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: '
             'parsing "abc": invalid syntax'),
    _options("resourceVersionMatch=Exact", LIST_OPTIONS + "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
             "unless resourceVersion is provided", 422, "Invalid"),
    _options("resourceVersion=1&resourceVersionMatch=No", LIST_OPTIONS + 'resourceVersionMatch: Unsupported value: "No": '
             'supported values: "Exact", "NotOlderThan", ""', 422, "Invalid"),
    _options("limit=abc", ABC), _options("timeoutSeconds=abc", ABC),
    _options("watch=true&sendInitialEvents=true", LIST_OPTIONS + "resourceVersionMatch: Forbidden: sendInitialEvents requires "
             "setting resourceVersionMatch to NotOlderThan", 422, "Invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "code", "reason", "message"), ASKED, ids=lambda value: str(value)[:60])
def test_questions_that_are_refused(
    bad: ControlPlane, method: str, target: str, code: int, reason: str, message: str
) -> None:
    assert refused(bad, method, target) == (code, reason, message)


def test_other_forms_of_no(bad: ControlPlane) -> None:
    for target in ("/nope", "/apis/nope", "/apis/nope/v1/x", "/"):
        said = bad.ask("GET", target)
        assert said.status == (200 if target == "/" else 404)
        assert target == "/" or said.body == b"404 page not found\n"
    assert (
        bad.ask("GET", f"{MAPS}?continue=garbage")
        .problem[2]
        .startswith("invalid continue token: continue key is not valid")
    )
    future = bad.ask("GET", f"{MAPS}?resourceVersion=99999999&timeoutSeconds=1")
    assert future.problem[:2] == (504, "Timeout")
    assert future.problem[2].startswith("Timeout: Too large resource version: 99999999, current: ")
    assert refused(bad, "GET", MAPS, None, "", Accept="text/html") == (
        406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {FORMATS}",
    )  # fmt: skip
    assert refused(bad, "GET", MAPS, None, "", Accept="application/json;as=Nope;v=v1;g=meta.k8s.io") == (
        406, "NotAcceptable", f"only the following media types are accepted: {FORMATS}",
    )  # fmt: skip
    for content_type in ("text/plain", ";;;", "application/xml"):
        assert refused(bad, "POST", MAPS, b"{}", content_type) == (
            415, "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {FORMATS}",
        )  # fmt: skip


def test_deletes_that_are_refused(bad: ControlPlane) -> None:
    uid = bad.ask("GET", ONE_MAP).body["metadata"]["uid"]
    other = (
        f'Operation cannot be fulfilled on ConfigMap "frozen": the UID in the precondition (x) does not match the UID in '
        f"record ({uid}). The object might have been deleted and then recreated"
    )
    assert refused(bad, "DELETE", ONE_MAP, {"preconditions": {"uid": "x"}}) == (409, "Conflict", other)
    said = refused(bad, "DELETE", ONE_MAP, {"preconditions": {"resourceVersion": "1"}})
    assert said[:2] == (409, "Conflict")
    assert "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record" in said[2]
    said = refused(bad, "DELETE", ONE_MAP, {"propagationPolicy": "Frob"})
    assert said == invalid(
        "DeleteOptions.meta.k8s.io", "",
        'propagationPolicy: Unsupported value: "Frob": supported values: "Foreground", "Background", "Orphan", "nil"',
    )  # fmt: skip
    assert refused(bad, "DELETE", f"{ONE_MAP}?gracePeriodSeconds=abc") == (400, "BadRequest", ABC)
    assert refused(bad, "DELETE", f"{MAPS}/nope")[:2] == (404, "NotFound")
    assert refused(bad, "DELETE", ONE_MAP, b"{")[0] == 400
    assert refused(bad, "DELETE", "/api/v1/namespaces/default") == (
        403, "Forbidden", 'namespaces "default" is forbidden: this namespace may not be deleted',
    )  # fmt: skip


def test_dry_runs_store_nothing(bad: ControlPlane) -> None:
    before = bad.revision()
    asked = [
        ("POST", f"{MAPS}?dryRun=All", config_map(), JSON, 201),
        ("PUT", f"{ONE_SERVICE}?dryRun=All", config_map("there", spec={"ports": [{"port": 81}]}), JSON, 200),
        ("PATCH", f"{ONE_DEPLOYMENT}?dryRun=All", {"spec": {"replicas": 3}}, MERGE, 200),
        ("DELETE", f"{ONE_MAP}?dryRun=All", None, JSON, 200),
        ("DELETE", ONE_MAP, {"dryRun": ["All"]}, JSON, 200),
        ("DELETE", f"{MAPS}?dryRun=All", None, JSON, 200),
        ("POST", f"{SERVICES}?dryRun=All", config_map(spec={"type": "NodePort", "ports": [{"port": 80}]}), JSON, 201),
    ]
    for method, target, body, content_type, status in asked:
        assert bad.ask(method, target, body, content_type).status == status, target
    assert [key for key in bad.written_since(before) if NAMESPACE in key] == []
    assert bad.ask("GET", f"{MAPS}/new").status == 404


WORDS = st.sampled_from(
    ["metadata", "name", "labels", "spec", "containers", "image", "ports", "port", "template", "selector", "matchLabels",
     "data", "replicas", "resources", "limits", "cpu", "env", "volumes", "a", "", "$patch", "status", "type", "clusterIP",
     "ownerReferences", "finalizers", "valueFrom", "livenessProbe", "httpGet", "affinity", "strategy", "securityContext"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["1Gi", "-1", "10.0.0.1", "ClusterIP", "Always", "a", "2020-01-01T00:00:00Z"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=20
)
BASES = {MAPS: config_map(), PODS: config_map(spec={"containers": [{"name": "c", "image": "i"}]}), DEPLOYMENTS: deployment(),
         SERVICES: service(port=80)}  # fmt: skip


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(sorted(BASES)), value=VALUES, at=st.integers(0, 30))
def test_no_json_makes_a_500_and_none_hangs(bad: ControlPlane, path: str, value: Any, at: int) -> None:
    """Anything at all in the place of any part of a good object."""
    body = json.loads(json.dumps(BASES[path]))
    places = list(_places(body))
    parent, key = places[at % len(places)]
    parent[key] = value
    for method, target, sent, content_type in (
        ("POST", f"{path}?dryRun=All", body, JSON),
        ("POST", f"{path}?dryRun=All", value, JSON),
        ("PATCH", f"{path}/there?dryRun=All", body, MERGE),
        ("PATCH", f"{path}/there?dryRun=All", body, STRATEGIC),
    ):
        said = bad.ask(method, target, sent, content_type)
        assert said.status != 500 or said.body.get("reason") != "InternalError", (sent, said.body)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield value, key
        yield from _places(child)


def test_the_log_knows_of_no_bug(bad: ControlPlane) -> None:
    assert bad.tracebacks() == ""
