from __future__ import annotations

import base64
from typing import Any

import pytest
from api_core import MAPS, make_server
from hypothesis import given
from hypothesis import strategies as st
from protobuf_writer import field as f

from wherry.api.scheme import Scheme
from wherry.apiserver import protobuf

SCHEME = Scheme.load()
MEDIA = "application/vnd.kubernetes.protobuf"


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return protobuf.MAGIC + f(1, f(1, api_version) + f(2, kind)) + f(2, raw) + f(3, "") + f(4, "")


def decode(api_version: str, kind: str, raw: bytes) -> Any:
    return protobuf.decode(body(api_version, kind, raw), SCHEME.schema_of, (api_version, kind))


# ObjectMeta as Go sends it: what is no pointer is there even when empty.
META = f(1, "c") + f(2, "") + f(3, "shop") + f(4, "") + f(5, "") + f(6, "") + f(7, 0) + f(8, b"")


def test_a_config_map() -> None:
    raw = (
        f(1, META + f(11, f(1, "app") + f(2, "x"))) + f(2, f(1, "k") + f(2, "v")) + f(3, f(1, "b") + f(2, b"\x00\x01"))
    )
    assert decode("v1", "ConfigMap", raw) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "c", "namespace": "shop", "labels": {"app": "x"}},
        "data": {"k": "v"},
        "binaryData": {"b": base64.b64encode(b"\x00\x01").decode()},
    }


def test_what_go_inlines_is_inlined_and_zero_means_zero_where_it_can() -> None:
    container = f(1, "c") + f(2, "nginx") + f(14, "") + f(13, "") + f(16, False)
    probe = f(1, f(2, f(1, "/") + f(2, f(1, 0) + f(2, 8080) + f(3, "")))) + f(2, 0) + f(3, 5)
    container += f(11, probe)
    volume = f(1, "v") + f(2, f(2, f(1, "") + f(2, f(1, "5Mi"))))
    template = f(1, f(1, "")) + f(2, f(1, volume) + f(2, container) + f(3, ""))
    spec = f(1, 0) + f(2, f(1, f(1, "a") + f(2, "b"))) + f(3, template) + f(5, 0)
    found = decode("apps/v1", "Deployment", f(1, META) + f(2, spec))
    assert found["spec"]["replicas"] == 0, "a pointer: zero is meant"
    assert "minReadySeconds" not in found["spec"], "no pointer: zero is nothing"
    assert found["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    pod = found["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "v", "emptyDir": {"sizeLimit": "5Mi"}}]
    assert "stdin" not in pod["containers"][0]
    assert pod["containers"][0]["livenessProbe" if "livenessProbe" in pod["containers"][0] else "readinessProbe"] == {
        "httpGet": {"path": "/", "port": 8080},
        "timeoutSeconds": 5,
    }


def test_times_and_negative_numbers() -> None:
    meta = META[: -len(f(8, b""))] + f(8, f(1, 1_700_000_000) + f(2, 0))
    found = decode("v1", "ConfigMap", f(1, meta))
    assert found["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"
    found = decode("v1", "DeleteOptions", f(1, -5))
    assert found["gracePeriodSeconds"] == -5


async def test_kubectl_s_typed_create() -> None:
    server = await make_server()
    raw = f(1, META) + f(2, f(1, "k") + f(2, "v"))
    said = await server.ask("POST", MAPS, body("v1", "ConfigMap", raw), content_type=MEDIA)
    assert (said.status, said.body["data"]) == (201, {"k": "v"})
    options = body("v1", "DeleteOptions", f(2, f(1, "not the uid")))
    said = await server.ask("DELETE", f"{MAPS}/c", options, content_type=MEDIA)
    assert said.status == 409
    said = await server.ask("POST", MAPS, b"{}", content_type=MEDIA)
    assert said.status == 400
    assert "expected prefix [107 56 115 0]" in said.message


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    try:
        decode("v1", "Pod", data)
    except protobuf.ProtobufError:
        pass


def test_kinds_nobody_has() -> None:
    with pytest.raises(protobuf.ProtobufError, match='no kind "Nope"'):
        decode("v1", "Nope", b"")
