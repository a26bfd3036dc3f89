from __future__ import annotations

import pytest

from wherry.api.errors import StatusError
from wherry.apiserver.negotiation import PLAIN, Representation, encode, negotiate

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("application/json", PLAIN),
        ("application/json;q=0.1, application/yaml", Representation("application/yaml")),
        ("application/vnd.kubernetes.protobuf, */*", PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", PLAIN),
        (f"{TABLE},application/json", Representation(as_kind="Table")),
        (f"application/json;as=Foo;v=v1;g=meta.k8s.io,{TABLE}", Representation(as_kind="Table")),
        ("text/html, application/json", PLAIN),
    ],
)
def test_accept(accept: str, expected: Representation) -> None:
    assert negotiate({"accept": accept}, {}) == expected


@pytest.mark.parametrize(
    ("accept", "start"),
    [
        ("text/html", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml"),
        ("application/*", "406: Not Acceptable"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io", "only the following media types are accepted: "),
    ],
)
def test_nothing_we_can_write(accept: str, start: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiate({"accept": accept}, {})
    assert caught.value.code == 406
    assert caught.value.message.startswith(start)


def test_pretty_for_people() -> None:
    assert negotiate({"user-agent": "curl/8"}, {}).pretty
    assert negotiate({}, {"pretty": "true"}).pretty
    assert not negotiate({"user-agent": "curl/8"}, {"pretty": "false"}).pretty
    assert encode({"a": [1]}, Representation(pretty=True)) == b'{\n  "a": [\n    1\n  ]\n}'
    assert encode({"a": "1"}, Representation("application/yaml")) == b'a: "1"\n'
