"""Requests that schemathesis makes of our own OpenAPI documents, sent to a control plane with its controllers: what is right by
the schema and what is not. Never a 5xx, always a Status where it is an error, never a traceback in the log.

The same requests each time: operations are chosen with SEED, their requests derandomized. WHERRY_FUZZ_SEED=N asks for others,
WHERRY_FUZZ_OPERATIONS and WHERRY_FUZZ_EXAMPLES for more: 1000 and 3 are all operations in some minutes.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
import schemathesis
from control_plane_process import ControlPlane
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core import NotSet

NAMESPACE = "fuzzed"
SEED = int(os.environ.get("WHERRY_FUZZ_SEED", "2026"))
OPERATIONS = int(os.environ.get("WHERRY_FUZZ_OPERATIONS", "4"))
"""Of each document."""
EXAMPLES = int(os.environ.get("WHERRY_FUZZ_EXAMPLES", "3"))
"""Of each operation."""
DOCUMENTS = (
    "api/v1",
    "apis/admissionregistration.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/apps/v1",
    "apis/authorization.k8s.io/v1",
    "apis/autoscaling/v2",
    "apis/batch/v1",
    "apis/certificates.k8s.io/v1",
    "apis/coordination.k8s.io/v1",
    "apis/discovery.k8s.io/v1",
    "apis/flowcontrol.apiserver.k8s.io/v1",
    "apis/networking.k8s.io/v1",
    "apis/node.k8s.io/v1",
    "apis/policy/v1",
    "apis/rbac.authorization.k8s.io/v1",
    "apis/resource.k8s.io/v1",
    "apis/scheduling.k8s.io/v1",
    "apis/storage.k8s.io/v1",
)
COSTLY = frozenset({"api/v1", "apis/apps/v1", "apis/batch/v1", "apis/networking.k8s.io/v1"})
"""Making what these schemas do not allow takes seconds per operation: only when more is asked for."""
ENDLESS = ("watch", "follow")
"""Parameters that make an answer without an end; watches are another test's."""
ELSEWHERE = ("/proxy", "/exec", "/attach", "/portforward", "/log", "/watch/")
"""What others answer: there is no node here."""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("fuzzed")) as plane:
        assert plane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).status == 201
        yield plane
        assert plane.ask("GET", "/readyz").body == b"ok"
    assert plane.tracebacks() == ""


def operations(document: Any) -> list[Any]:
    found = [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]
    fit = [each for each in found if not any(part in each.path for part in ELSEWHERE)]
    writes = [each for each in fit if each.method.upper() in ("POST", "PUT")]
    others = [each for each in fit if each not in writes]
    rng, half = random.Random(SEED), OPERATIONS // 2
    return [pick for part in (writes, others) for pick in rng.sample(part, min(half, len(part)))]


def requests(case: Any) -> Iterator[tuple[str, bytes | None, str]]:
    """(target, body, content type) of a case, into the namespace that exists; of a write once more as an object with a name
    and nothing else beside it, which gets further."""
    path = case.path
    for name, value in {**(case.path_parameters or {}), "namespace": NAMESPACE}.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe="") or "x")
    query = urlencode({key: value for key, value in (case.query or {}).items() if key not in ENDLESS}, doseq=True)
    body = None if isinstance(case.body, NotSet) else case.body
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    media = str(case.media_type or "application/json")
    yield f"{path}?{query}" if query else path, data, media if media != "*/*" else "application/json"
    if isinstance(body, dict) and case.method.upper() in ("POST", "PUT"):
        plain = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        plain["metadata"] = {"name": "a" if case.method.upper() == "POST" else unquote(path.rpartition("/")[2])}
        yield path, json.dumps(plain).encode(), "application/json"


def attempts(operation: Any, mode: GenerationMode, attempt: Callable[[Any], None]) -> None:
    fixed = settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    fixed(given(operation.as_strategy(generation_mode=mode))(attempt))()


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_never_a_server_error(fuzzed: ControlPlane, name: str, mode: GenerationMode) -> None:
    if mode is GenerationMode.NEGATIVE and name in COSTLY and OPERATIONS < 100:
        pytest.skip("costly: WHERRY_FUZZ_OPERATIONS=1000")
    seen: Counter[int] = Counter()

    def attempt(case: Any) -> None:
        for target, data, media in requests(case):
            answer = fuzzed.ask(case.method, target, data, media)
            seen[answer.status] += 1
            assert answer.status < 500, (case.method, target, data, media, answer.body)
            assert answer.status < 400 or answer.problem

    for operation in operations(fuzzed.ask("GET", f"/openapi/v3/{name}").body):
        attempts(operation, mode, attempt)
    print(dict(seen))
    assert seen.total() >= EXAMPLES
