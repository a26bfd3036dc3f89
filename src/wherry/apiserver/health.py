"""/healthz, /livez, /readyz: named checks, each by itself under its own path, all together with ?verbose and ?exclude."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wherry.apiserver.filters.request_info import query_values
from wherry.apiserver.http import Request, Response
from wherry.apiserver.negotiation import TEXT
from wherry.apiserver.registry.validation.field import quote

Check = Callable[[], str]
"""Answers with what is wrong, "" when nothing is."""
NOT_FOUND = Response(404, None, b"404 page not found\n", TEXT)
_ROOTS = ("healthz", "livez", "readyz")


def fine() -> str:
    return ""


class Health:
    """`readiness` may grow while the server runs: whoever still has to do something adds a check."""

    def __init__(self, storage_check: Check) -> None:
        self.liveness: dict[str, Check] = {"ping": fine, "log": fine, "etcd": storage_check}
        self.readiness: dict[str, Check] = {"ping": fine, "log": fine, "informer-sync": fine}
        self.shutting_down = False

    def answer(self, request: Request, path: str) -> Response:
        root, _, name = path.strip("/").partition("/")
        assert root in _ROOTS
        checks = dict(self.readiness if root == "readyz" else self.liveness)
        if root == "readyz":
            checks["shutdown"] = lambda: "process is shutting down" if self.shutting_down else ""
        if name:
            if name == "etcd":
                checks["etcd"] = self.liveness["etcd"]
            return _one(checks[name]) if name in checks else NOT_FOUND
        return _all(request, root, checks)


def _one(check: Check) -> Response:
    problem = check()
    if problem:
        return Response(500, None, f"internal server error: {problem}\n".encode(), TEXT)
    return Response(200, None, b"ok", TEXT)


def _all(request: Request, root: str, checks: Mapping[str, Check]) -> Response:
    excluded = {name for value in query_values(request.query_string, "exclude") for name in value.split(",")}
    lines: list[str] = []
    failed: list[str] = []
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif check():
            failed.append(name)
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    unmatched = sorted(excluded - checks.keys())
    if unmatched:
        listed = ", ".join(quote(name) for name in unmatched)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    if failed:
        return Response(500, None, "\n".join([*lines, f"{root} check failed\n"]).encode(), TEXT)
    if "verbose" not in request.query:
        return Response(200, None, b"ok", TEXT)
    return Response(200, None, "\n".join([*lines, f"{root} check passed\n"]).encode(), TEXT)
