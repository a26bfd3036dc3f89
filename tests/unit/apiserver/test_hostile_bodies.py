"""Bodies made to hurt: deep, huge, cut, spoilt, in every media type: an answer below 500, and soon.

`test_odd_bodies.py` has bodies that are odd but whole, for every kind.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_core import MAPS, Server, make_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
PATCHES = [
    f"application/{name}"
    for name in ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
]
DEEP = 100_000


def nested(depth: int, inner: bytes = b"1") -> bytes:
    return b'{"a":' * depth + inner + b"}" * depth


def laughs(levels: int) -> bytes:
    """Ten to the power of `levels` items, in a kilobyte of YAML."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


BODIES: dict[str, bytes] = {
    "open brackets": b"[" * DEEP,
    "brackets": b"[" * DEEP + b"]" * DEEP,
    "open braces": b'{"a":' * DEEP,
    "braces": nested(DEEP),
    "deep data": b'{"metadata":{"name":"x"},"data":' + nested(DEEP) + b"}",
    "less deep data": b'{"metadata":{"name":"x"},"data":' + nested(500) + b"}",
    "huge float": b'{"metadata":{"name":"x","generation":1e400}}',
    "huge integer": b'{"metadata":{"name":"x","generation":' + b"9" * 100_000 + b"}}",
    "beyond 64 bits": b'{"metadata":{"name":"x","deletionGracePeriodSeconds":' + b"9" * 30 + b"}}",
    "not a number": b'{"metadata":{"name":NaN}}',
    "invalid UTF-8": b'{"metadata":{"name":"\xff\xfe"}}',
    "lone surrogate": b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}',
    "NUL in a name": b'{"metadata":{"name":"a\\u0000b"}}',
    "twice": b'{"metadata":{"name":"x"},"metadata":{"name":"y"}}',
    "cut": b'{"metadata":{"na',
    "a list": b"[]",
    "a number": b"1",
    "nothing": b"",
    "spaces": b" \n\t",
    "laughs": laughs(12),
    "refers to itself": b"metadata: &m {name: x, labels: *m}\n",
    "a tag": b"!!python/object/apply:os.system ['true']\n",
    "odd keys": b"? [1,2]\n: x\n",
    "a set": b"metadata: {name: x3}\ndata: !!set {a, b}\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "infinite": b"metadata: {name: x7, generation: .inf}\n",
    "only magic": b"k8s\x00",
    "long varint": b"k8s\x00" + b"\xff" * 11,
    "wrong length": b"k8s\x00\x0a\xff\x01",
    "wrong wire type": b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x08\x01",
    "patch nowhere": b'[{"op":"add","path":"/metadata/labels/x/y/z","value":1}]',
    "patch all": b'[{"op":"replace","path":"","value":5}]',
    "patch doubles": json.dumps([{"op": "copy", "from": "/data", "path": "/data/a"}] * 40).encode(),
    "patch without path": b'[{"op":"test"}]',
    "patch of numbers": b"[1]",
    "order that is none": b'{"$setElementOrder/finalizers":5,"metadata":{"$deleteFromPrimitiveList/finalizers":{}}}',
    "directive": b'{"metadata":{"ownerReferences":[5,{"uid":{}},{"$patch":"delete"}]}}',
    "retain": b'{"data":{"$retainKeys":[1]}}',
}
TARGETS = [
    ("POST", MAPS, [JSON, YAML, PROTOBUF]),
    ("PUT", f"{MAPS}/c", [JSON, YAML, PROTOBUF]),
    ("DELETE", f"{MAPS}/c", [JSON, YAML, PROTOBUF]),
    ("PATCH", f"{MAPS}/c", PATCHES),
    ("POST", "/apis/apps/v1/namespaces/shop/deployments", [JSON, YAML, PROTOBUF]),
    ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", [JSON, YAML, PROTOBUF]),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", [JSON, YAML, PROTOBUF]),
    ("POST", "/api/v1/namespaces/shop/serviceaccounts/default/token", [JSON, PROTOBUF]),
    ("POST", "/api/v1/namespaces/shop/pods/p/eviction", [JSON, PROTOBUF]),
]


async def answered(server: Server, method: str, target: str, body: bytes, media: str) -> tuple[int, Any]:
    if target.startswith(f"{MAPS}/"):
        await server.ask("POST", MAPS, {"metadata": {"name": "c"}, "data": {"k": "v"}})
    query = "?fieldManager=m" if method == "PATCH" else ""
    said = await server.ask(method, target + query, body, content_type=media)
    return said.status, said.body


@pytest.mark.parametrize(("method", "target", "medias"), TARGETS, ids=lambda value: str(value)[:60])
async def test_no_body_is_our_fault(method: str, target: str, medias: list[str]) -> None:
    server = await make_server()
    for name, body in BODIES.items():
        for media in medias:
            status, said = await answered(server, method, target, body, media)
            assert status < 500, (name, media, said)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_spoilt_bodies(data: st.DataObject) -> None:
    server = await make_server()
    whole = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "c", "labels": {"a": "b"}, "ownerReferences": [{"uid": "u"}], "generation": 3},
            "data": {"k": "v"},
            "immutable": False,
        }
    ).encode()
    spoilt = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt))) :] += data.draw(st.binary(max_size=4)) if spoilt else b""
    method, target, medias = data.draw(st.sampled_from(TARGETS[:5]))
    status, said = await answered(server, method, target, bytes(spoilt), data.draw(st.sampled_from(medias)))
    assert status < 500, said


words = st.text(max_size=8)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_values_of_the_wrong_type_anywhere(data: st.DataObject) -> None:
    """Every field of a Deployment may hold anything."""
    server = await make_server()
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b"}]}
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]},
    }
    obj: Any = {
        "metadata": {"name": "d", "annotations": {"x": "y"}, "finalizers": ["a/b"]},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": template,
            "strategy": {"type": "Recreate"},
        },
    }
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(data, obj)
    said = await server.ask("POST", "/apis/apps/v1/namespaces/shop/deployments", obj)
    assert said.status < 500, said.body


def spoil(data: st.DataObject, obj: Any) -> None:
    """Put something odd at a place in the object."""
    while True:
        keys: list[Any] = list(obj) if isinstance(obj, dict) else list(range(len(obj)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(obj[key], dict | list) and data.draw(st.booleans()):
            obj = obj[key]
            continue
        obj[key] = data.draw(odd)
        return
