"""Replays recorded exchanges against registries, strategies and admission in memory: no HTTP, no server.

A scenario is a list of requests with the answers a Kubernetes 1.36 gave. Requests that write built-in objects (create,
replace, patch, delete, their status) are performed here; the rest of a scenario is skipped. Placeholders of the recording
(`<uid>`, `<ip>`, ...) match anything of their kind; managedFields are not this layer's and are left out.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry.aio.clock import ManualClock
from wherry.api.errors import StatusError
from wherry.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from wherry.api.scheme import Resource, Scheme
from wherry.api.structure import normalise
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.chain import Admission, AdmissionRequest
from wherry.apiserver.auth.user import User
from wherry.apiserver.drafts import draft
from wherry.apiserver.merge_patch import merge_patch
from wherry.apiserver.patch import PatchError, json_patch
from wherry.apiserver.registry.allocation import service_allocators
from wherry.apiserver.registry.catalogue import strategies
from wherry.apiserver.registry.generic import Registry, Write
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.strategic import strategic_merge
from wherry.storage.memory import MemoryStorage

EXCHANGES = Path(__file__).parents[3] / "reference" / "exchanges"
NAMESPACE = "scenario"
_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/?]+)(?=/[^?]))?/(?P<resource>[a-z]+)"
    r"(?:/(?P<name>[^/?]+))?(?:/(?P<sub>[^/?]+))?(?:\?(?P<query>.*))?\Z"
)
_VARIABLES = {"{ns}": NAMESPACE, "{sfx}": "sfx0", "{x256k}": "x" * 262145, "{x1m}": "x" * 1048577}


@dataclass
class Outcome:
    """What a step came to here, and what was recorded."""

    index: int
    note: str
    problems: list[str] = field(default_factory=list)


class World:
    """One cluster's storage with a namespace and its default account."""

    def __init__(self) -> None:
        self.scheme = Scheme.load("1.36")
        self.storage = MemoryStorage()
        self.clock = ManualClock()
        self.rng = random.Random(1)
        self.registries = {
            gvr: Registry(strategy.resource, strategy, self.storage)
            for gvr, strategy in strategies(self.scheme).items()
        }
        self.admission = Admission()
        self.allocators = service_allocators([], self.rng)
        self.user = User("admin", ("system:masters",))

    # -- Reader

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
        entry = self.registries[gvr].find(namespace or "", name)
        return entry.value if entry else None

    def list(self, gvr: GVR, namespace: str | None = None) -> Iterable[Obj]:
        return [each.value for each in self.storage.list(self.registries[gvr].prefix_of(namespace or ""))]

    # -- writing

    async def prepare(self) -> None:
        for namespace in (NAMESPACE, "default", "kube-system"):
            await self.create(NAMESPACES, {"metadata": {"name": namespace}}, "")
            await self.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace)

    def write(self, resource: Resource, namespace: str, sub: str, name: str, dry_run: bool) -> Write:
        context = Context(self.clock, self.rng, self.user, self, self.allocators, dry_run)

        def request(operation: str, obj: Obj | None, old: Obj | None) -> AdmissionRequest:
            subject = obj or old or {}
            named = name or subject["metadata"].get("name", "")
            return AdmissionRequest(
                operation, resource, sub, namespace, named, obj, old, self.user, dry_run, {}, context
            )

        async def admit(operation: str, obj: Obj | None, old: Obj | None) -> None:
            await self.admission.mutate(request(operation, obj, old))

        async def validate(operation: str, obj: Obj | None, old: Obj | None) -> None:
            await self.admission.validate(request(operation, obj, old))

        return Write(context, admit, validate=validate)

    async def create(self, gvr: GVR, body: Obj, namespace: str, dry_run: bool = False) -> tuple[Obj, list[str]]:
        registry = self.registries[gvr]
        obj = self.decode(registry.resource, body)
        if registry.resource.namespaced:
            obj["metadata"]["namespace"] = namespace
        write = self.write(registry.resource, namespace, "", "", dry_run)
        result = await registry.create(obj, write)
        return result.value, write.warnings

    def decode(self, resource: Resource, body: Obj) -> Obj:
        obj = draft(body)
        obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
        findings = normalise(obj, self.scheme.schema(resource))
        if findings.error:
            raise StatusError(400, "BadRequest", findings.error)
        obj.setdefault("metadata", {})
        return obj

    async def change(self, step: Step) -> tuple[Obj, list[str]]:
        registry = self.registries[step.gvr]
        schema = self.scheme.schema(registry.resource)

        def edit(stored: Obj) -> Obj:
            if step.method == "PUT":
                return self.decode(registry.resource, _in_namespace(step.body, stored))
            try:
                if "json-patch" in step.content_type:
                    changed = json_patch(draft(stored), step.body)
                elif "strategic" in step.content_type:
                    changed = strategic_merge(draft(stored), step.body, schema)
                else:
                    changed = merge_patch(draft(stored), step.body)
            except PatchError as error:
                raise StatusError(422, "Invalid", str(error)) from None
            return self.decode(registry.resource, changed)

        write = self.write(registry.resource, step.namespace, step.sub, step.name, step.dry_run)
        result = await registry.update(step.namespace, step.name, edit, write, SCOPES[step.sub])
        return result.value, write.warnings


@dataclass
class Step:
    """One request, parsed; `gvr` is a resource the scheme knows."""

    method: str
    gvr: GVR
    namespace: str
    name: str
    sub: str
    dry_run: bool
    content_type: str
    body: Any

    @classmethod
    def parse(cls, raw: Obj, world: World) -> Step | None:
        """None for what this layer does not do: raw bodies, other identities, lists, watches, server-side apply."""
        if not isinstance(raw.get("do"), str) or {"raw", "auth", "bg", "join", "headers", "poll"} & raw.keys():
            return None
        method, _, path = raw["do"].partition(" ")
        found = _PATH.match(path)
        if found is None:
            return None
        gvr = GVR(found["group"] or "", found["version"] or "v1", found["resource"])
        content_type = raw.get("ct", "application/json")
        query = found["query"] or ""
        known = gvr in world.registries and (found["sub"] or "") in SCOPES
        if not known or "apply-patch" in content_type or set(query.split("&")) - {"", "dryRun=All"}:
            return None
        writes = ("PUT", "PATCH", "DELETE") if found["name"] else ("POST",)
        if method not in writes or (method == "DELETE" and (found["sub"] or "body" in raw)):
            return None
        return cls(
            method, gvr, found["namespace"] or "", found["name"] or "", found["sub"] or "", "dryRun" in query,
            content_type, raw.get("body"),
        )  # fmt: skip

    async def perform(self, world: World) -> tuple[int, Obj, list[str]]:
        """(status, answer, warnings)."""
        try:
            if self.method == "POST":
                value, warnings = await world.create(self.gvr, self.body, self.namespace, self.dry_run)
                return 201, value, warnings
            if self.method == "DELETE":
                registry = world.registries[self.gvr]
                write = world.write(registry.resource, self.namespace, "", self.name, self.dry_run)
                result = await registry.delete(self.namespace, self.name, {}, write)
                return 200, result.value, write.warnings
            value, warnings = await world.change(self)
        except StatusError as error:
            return error.code, error.to_status(), []
        return 200, value, warnings


async def replay(name: str) -> list[Outcome]:
    """Perform a scenario; one outcome per step that belongs here."""
    text = (EXCHANGES / f"{name}.json").read_text()
    scenario = json.loads(text)
    world = World()
    await world.prepare()
    outcomes = []
    for index, raw in enumerate(scenario["steps"]):
        raw = _substitute(raw)
        step = Step.parse(raw, world)
        expected = raw.get("expect", {})
        if step is None or "body" not in expected:
            continue
        status, answer, warnings = await step.perform(world)
        outcome = Outcome(index, f"{raw.get('note', '')} {raw['do']}")
        outcome.problems = _compare(raw, expected, status, answer, warnings)
        outcomes.append(outcome)
    return outcomes


def _in_namespace(body: Obj, stored: Obj) -> Obj:
    """What the path says of the namespace, a body may leave out."""
    namespace = stored["metadata"].get("namespace")
    return {**body, "metadata": {"namespace": namespace, **body["metadata"]}} if namespace else body


def _substitute(value: Any) -> Any:
    if isinstance(value, str):
        for variable, text in _VARIABLES.items():
            value = value.replace(variable, text)
        return value
    if isinstance(value, list):
        return [_substitute(item) for item in value]
    if isinstance(value, dict):
        return {_substitute(key): _substitute(item) for key, item in value.items()}
    return value


# -- comparing


def _compare(raw: Obj, expected: Obj, status: int, answer: Obj, warnings: list[str]) -> list[str]:
    if status != expected["status"]:
        return [f"status {status}, recorded {expected['status']}: {json.dumps(answer)[:600]}"]
    if status == 400 or (raw["do"].startswith("DELETE") and status == 200):
        return []
    body = expected["body"]
    if status >= 400:
        return _compare_failure(body, answer)
    problems = []
    recorded_warnings = [text for text in expected.get("warnings", []) if "unknown field" not in text]
    if sorted(warnings) != sorted(recorded_warnings):
        problems.append(f"warnings {warnings}, recorded {recorded_warnings}")
    if "view" in raw:
        for path, value in body.items():
            if "managedFields" not in path and not path.startswith("status.conditions.?"):
                problems += _difference(value, _look(answer, path), path)
        return problems
    return problems + _difference(body, answer, "")


def _compare_failure(body: Obj, answer: Obj) -> list[str]:
    recorded, ours = body.get("details", {}).get("causes"), (answer.get("details") or {}).get("causes")
    if not recorded:
        return (
            []
            if answer["message"] == body["message"]
            else [f"message {answer['message']!r}, recorded {body['message']!r}"]
        )
    left = [_cause(cause) for cause in ours or []]
    problems = []
    for cause in recorded:
        match = next(
            (each for each in left if each[:2] == _cause(cause)[:2] and _matches(_cause(cause)[2], each[2])), None
        )
        if match is None:
            problems.append(f"missing {_cause(cause)}")
        else:
            left.remove(match)
    problems += [f"unexpected {cause}" for cause in left]
    if not problems:
        recorded_rest, rest = ({k: v for k, v in d["details"].items() if k != "causes"} for d in (body, answer))
        problems += _difference(recorded_rest, rest, "details")
    return problems


def _cause(cause: Obj) -> tuple[str, str, str]:
    message = cause.get("message", "")
    if "\n" in message:  # a dump of Go structures
        message = message.partition("\n")[0]
    return cause.get("reason", ""), cause.get("field", ""), message


_WILD = {
    "<uid>": r"[0-9a-f-]{36}",
    "<rv>": r"[0-9]+",
    "<time>": r"[-0-9T:.]+Z",
    "<gen>": r"[a-z0-9]{5}",
    "<ip>": r"[0-9.]+",
}


def _matches(recorded: str, ours: str) -> bool:
    pattern = re.escape(recorded)
    for wild, text in _WILD.items():
        pattern = pattern.replace(re.escape(wild), text)
    return re.fullmatch(pattern, ours) is not None


def _difference(recorded: Any, ours: Any, path: str) -> list[str]:
    if isinstance(recorded, str) and isinstance(ours, str):
        return [] if _matches(recorded, ours) else [f"{path}: {ours!r}, recorded {recorded!r}"]
    if recorded == "<port>":
        return [] if isinstance(ours, int) and 30000 <= ours <= 32767 else [f"{path}: {ours!r} is no node port"]
    if isinstance(recorded, dict) and isinstance(ours, dict):
        problems = []
        for key in recorded.keys() | ours.keys():
            if key in ("managedFields", "resourceVersion"):
                continue
            at = f"{path}.{key}"
            if key not in ours:
                problems.append(f"{at}: missing, recorded {json.dumps(recorded[key])[:200]}")
            elif key not in recorded:
                problems.append(f"{at}: unexpected {json.dumps(ours[key])[:200]}")
            else:
                problems += _difference(recorded[key], ours[key], at)
        return problems
    if isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        return [
            problem
            for i, (left, right) in enumerate(zip(recorded, ours, strict=True))
            for problem in _difference(left, right, f"{path}[{i}]")
        ]
    if type(recorded) is type(ours) and recorded == ours:
        return []
    return [f"{path}: {json.dumps(ours)[:300]}, recorded {json.dumps(recorded)[:300]}"]


def _look(value: Any, path: str) -> Any:
    """A dotted path; `*` walks a list, `?a/b=v` selects a member, `~1` is a dot inside a key."""
    for i, part in enumerate(parts := path.split(".")):
        if value is None:
            return None
        if part == "*":
            rest = ".".join(parts[i + 1 :])
            return [_look(item, rest) if rest else item for item in value]
        if part.startswith("?"):
            keys, _, wanted = part[1:].partition("=")
            value = next((item for item in value if str(_look(item, keys.replace("/", "."))) == wanted), None)
        elif isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part.replace("~1", "."))
    return value
