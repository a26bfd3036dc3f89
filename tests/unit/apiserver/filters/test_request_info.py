from __future__ import annotations

import pytest

from wherry.apiserver.filters.request_info import RequestInfo, parse, parse_query, query_values


@pytest.mark.parametrize(
    ("method", "target", "verb", "what"),
    [
        ("GET", "/api/v1/pods", "list", ("", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/", "list", ("", "v1", "n", "pods", "", "")),
        ("GET", "/api/v1/namespaces//pods", "list", ("", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods?watch=maybe", "watch", ("", "v1", "n", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods?watch=0", "list", ("", "v1", "n", "pods", "", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods", "watch", ("", "v1", "n", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n", "get", ("", "v1", "n", "namespaces", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", "update", ("", "v1", "n", "namespaces", "n", "finalize")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            "patch",
            ("apps", "v1", "n", "deployments", "d", "scale"),
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/n/deployments",
            "deletecollection",
            ("apps", "v1", "n", "deployments", "", ""),
        ),
        ("POST", "/api/v1/namespaces/n/pods/p/exec", "create", ("", "v1", "n", "pods", "p", "exec")),
        ("GET", "/api/v1/namespaces/n/configmaps/a%2Fb", "get", ("", "v1", "n", "configmaps", "a", "b")),
        ("GET", "/api/v1/nodes/x/proxy/a/b", "get", ("", "v1", "", "nodes", "x", "proxy")),
    ],
)
def test_resources(method: str, target: str, verb: str, what: tuple[str, ...]) -> None:
    path, _, query = target.partition("?")
    info = parse(method, path, parse_query(query))
    assert info.is_resource
    assert info.verb == verb
    assert (info.group, info.version, info.namespace, info.resource, info.name, info.subresource) == what


@pytest.mark.parametrize(
    "path", ["/", "/version/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "//api/v1/pods"]
)
def test_paths_that_name_no_resource(path: str) -> None:
    assert parse("GET", path, {}) == RequestInfo(path, "get")


def test_queries() -> None:
    assert parse_query("a=1&b=%20x+y&a=2&c&") == {"a": "1", "b": " x y", "c": ""}
    assert query_values("command=sh&tty=1&command=-c", "command") == ["sh", "-c"]
