from __future__ import annotations

import pytest
from api_core import make_server

from wherry.aio.virtual import run_virtual
from wherry.api.scheme import Resource, Scheme
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Request, Response
from wherry.apiserver.serving import Published, Serving
from wherry.apiserver.version_order import NEWEST_FIRST


def resource(group: str, version: str, plural: str = "things") -> Resource:
    return Resource(group, version, plural, "", "Thing", True, ("get", "list"))


def test_what_is_published_is_there_and_goes_again() -> None:
    serving = Serving(Scheme.load())
    told: list[int] = []
    serving.on_change(lambda: told.append(serving.version))
    before = serving.version
    serving.publish("one", Published((resource("b.example", "v1"),)))
    serving.publish("two", Published((resource("a.example", "v1"), resource("a.example", "v2beta1"))))
    serving.publish("late", Published((resource("z.example", "v1"),), group_priority=2000))
    assert [group.name for group in serving.groups() if group.name.endswith("example")] == [
        "z.example",
        "a.example",
        "b.example",
    ]
    assert serving.groups()[-1].name == "metrics.k8s.io"
    assert serving.by_kind("a.example/v1", "Thing") == resource("a.example", "v1")
    assert serving.stamp("a.example", "v1") == before + 2
    serving.withdraw("two")
    serving.withdraw("two")
    assert serving.group("a.example") is None
    assert serving.by_kind("a.example/v1", "Thing") is None
    assert told == [before + 1, before + 2, before + 3, before + 4]
    assert serving.stamp("b.example", "v1") == before + 1
    assert serving.stamp("apps", "v1") == 0


def test_nobody_replaces_what_is_built_in() -> None:
    serving = Serving(Scheme.load())
    built_in = dict(serving.resources)
    serving.publish("bad", Published((resource("apps", "v1", "deployments"), resource("apps", "v1", "extras"))))
    assert {gvr: serving.resources[gvr] for gvr in built_in} == built_in
    group = serving.group("apps")
    assert group is not None
    assert group.versions == ("v1",)


@pytest.mark.parametrize(
    ("versions", "ordered"),
    [
        # the example of Kubernetes' documentation
        (
            "foo10 v1 v11alpha2 v2 v3beta1 foo1 v10 v12alpha1 v11beta2 v10beta3",
            "v10 v2 v1 v11beta2 v10beta3 v3beta1 v12alpha1 v11alpha2 foo1 foo10",
        ),
    ],
)
def test_the_order_of_versions(versions: str, ordered: str) -> None:
    assert " ".join(sorted(versions.split(), key=NEWEST_FIRST)) == ordered


def test_a_group_version_can_be_answered_by_somebody_else() -> None:
    async def forward(request: Request, info: RequestInfo, user: User) -> Response:
        return Response(200, None, f'"{user.name} {request.path}"'.encode())

    async def main() -> None:
        server = await make_server()
        serving = server.app.core.serving
        serving.publish("api", Published(group_versions=(("far.example", "v1"),), forward=forward))
        for path in ("/apis/far.example/v1", "/apis/far.example/v1/namespaces/shop/things/x"):
            assert (await server.ask("GET", path)).body == f"admin {path}"
        assert (await server.ask("GET", path, token="")).status == 401
        group = (await server.ask("GET", "/apis/far.example")).body
        assert group["preferredVersion"]["groupVersion"] == "far.example/v1"
        serving.withdraw("api")
        assert (await server.ask("GET", "/apis/far.example/v1")).status == 404

    run_virtual(main())
