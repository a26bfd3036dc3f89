"""Every built-in kind in protobuf: a random object, written as Go writes it, reads as the JSON it came from.

Also what is sent besides objects: options, evictions, scales, token requests, reviews.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kind_strategies import SCHEME, has_message, kinds, objects
from protobuf_writer import encode

from wherry.apiserver import protobuf, protobuf_encode
from wherry.apiserver.protobuf import ProtobufError


@pytest.mark.parametrize(("api_version", "kind"), kinds(), ids=lambda value: str(value))
def test_every_kind_has_a_message(api_version: str, kind: str) -> None:
    assert has_message(api_version, kind)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_written_and_read_is_the_same(data: st.DataObject) -> None:
    api_version, kind = data.draw(st.sampled_from(kinds()))
    schema = SCHEME.schema_of(api_version, kind)
    name = protobuf.message_name(api_version, kind)
    obj = {"apiVersion": api_version, "kind": kind, **data.draw(objects(name, schema, 0))}
    assert protobuf.decode(encode(obj, schema), SCHEME.schema_of, (api_version, kind)) == obj
    assert protobuf.decode(protobuf_encode.encode(obj), SCHEME.schema_of, (api_version, kind)) == obj


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_cut_or_spoilt_it_is_refused_or_something_else_but_no_bug(data: st.DataObject) -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
    }
    whole = encode(obj, SCHEME.schema_of("v1", "Pod"))
    spoilt = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if spoilt:
            spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = protobuf.decode(bytes(spoilt), SCHEME.schema_of, ("v1", "Pod"))
    except ProtobufError:
        return
    assert isinstance(found, dict)
