"""PATCH of type apply: a configuration is merged into the object as it is when its turn comes, or becomes the object.

A configuration is YAML (or JSON, which is YAML too). It is checked against the schema before anything is looked at;
fieldValidation only decides about keys that come twice. Kubernetes answers 500 to a configuration of the wrong shape;
here it is 400.
"""

from __future__ import annotations

from typing import Any

from wherry.api import json
from wherry.api.errors import StatusError, bad_request, conflict, is_already_exists, is_not_found
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.apply.entries import put
from wherry.apiserver.apply.field_manager import SETTLED, ByApply
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.handlers.create import create, settle_namespace
from wherry.apiserver.handlers.update import check_name
from wherry.apiserver.http import Answer
from wherry.apiserver.options import WriteOptions
from wherry.apiserver.registry.generic import Result, Write
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.respond import respond

ATTEMPTS = 3
"""The object may come or go between looking and writing."""


async def handle(core: Core, call: Call, options: WriteOptions) -> Answer:
    configuration, complaint = read(call)
    kind, api_version, _ = core.expected(call)
    check_version(configuration, kind, api_version)
    owners = core.field_managers.by_apply(call.served, call.info.subresource, options.field_manager, options.force)
    owners.check(configuration)
    write = core.write(call, options.dry_run)
    write.owners = SETTLED
    result = await _apply(_Application(core, call, options, owners, configuration, complaint), write)
    return respond(core, call, result.value, result.data, 201 if result.created else 200)


class _Application:
    """One configuration on its way into one object."""

    def __init__(
        self, core: Core, call: Call, options: WriteOptions, owners: ByApply, configuration: Obj, complaint: str
    ) -> None:
        self.call = call
        self._core = core
        self._options = options
        self._owners = owners
        self._configuration = configuration
        self._complaint = complaint

    def onto(self, current: Obj) -> Obj:
        """The draft, in the stored version, that replaces `current`."""
        served = self.call.served
        obj = self._made(served.show(current))
        return obj if served.inward is None else served.inward(obj)

    def anew(self) -> Obj:
        """The draft of a new object, in the served version."""
        metadata = self._configuration.get("metadata") or {}
        name = self.call.info.name
        if metadata.get("uid"):
            why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
            raise conflict(self.call.resource.resource, name, why, self.call.resource.group)
        if metadata.get("resourceVersion"):
            raise self.call.registry.missing(name)
        return self._made(None)

    def _made(self, live: Obj | None) -> Obj:
        call = self.call
        made = self._owners.merge(live, self._configuration)
        complain(call, self._complaint, self._options.field_validation)
        kind, api_version, schema = self._core.expected(call)
        whole = made.obj if made.obj is not None else live
        assert whole is not None
        obj: Obj = draft({**whole, "metadata": {k: v for k, v in whole["metadata"].items() if k != "managedFields"}})
        obj["kind"], obj["apiVersion"] = kind, api_version
        findings = self._core.normaliser(call)(obj, schema)
        if findings.error:
            raise bad_request(f"failed to convert the applied configuration: {findings.error}")
        check_name(call, obj["metadata"])
        settle_namespace(call, obj["metadata"])
        put(obj["metadata"], made.entries)
        return obj


async def _apply(application: _Application, write: Write) -> Result:
    call = application.call
    registry, info = call.registry, call.info
    for attempt in range(ATTEMPTS):
        try:
            return await registry.update(info.namespace, info.name, application.onto, write, SCOPES[info.subresource])
        except StatusError as error:
            if not is_not_found(error) or info.subresource or registry.find(info.namespace, info.name) is not None:
                raise
        try:
            return await create(call, application.anew(), write)
        except StatusError as error:
            if not is_already_exists(error) or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the loop above returns or raises")


def read(call: Call) -> tuple[Obj, str]:
    """The configuration, and what there is to say of keys that come twice. Raises 400."""
    request, complaint = call.request, ""
    value: Any
    if request.draft is not None:
        value = request.draft
    else:
        try:
            value, complaint = _parse(request.body)
        except ValueError as error:
            raise bad_request(f"error decoding YAML: {_said(error)}") from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        problem = f"json: cannot unmarshal {decode.json_kind(value)} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {problem}")
    return value, complaint


def _said(error: ValueError) -> str:
    return f"error converting YAML to JSON: {error}"


def _parse(body: bytes) -> tuple[Any, str]:
    """JSON is read as JSON, which is much faster; what is none, or has keys twice, as YAML."""
    if body.lstrip()[:1] == b"{":
        try:
            value, twice = json.decode_strict(body)
        except ValueError:
            twice = [""]
        if not twice:
            return value, ""
    from wherry.api import yaml  # kubectl sends JSON

    found: list[str] = []
    value = yaml.load(body, duplicates=found)
    return value, f"error converting YAML to JSON: {found[0]}" if found else ""


def check_version(configuration: Obj, kind: str, api_version: str) -> None:
    """Raises 400 for the configuration of another kind, or of another version of it."""
    said, version = (each if isinstance(each, str) else "" for each in map(configuration.get, ("kind", "apiVersion")))
    if (said, version) == (kind, api_version):
        return
    group, _, version = version.rpartition("/")
    if "/" in group:  # no version at all
        group = said = version = ""
    raise bad_request(f"invalid object type: {group}/{version}, Kind={said}")


def complain(call: Call, complaint: str, validation: str) -> None:
    """Of keys that come twice: refused, warned of or passed over. Raises 400."""
    if not complaint or validation == "Ignore":
        return
    if validation == "Strict":
        raise bad_request(f"error strict decoding YAML: {complaint}")
    if complaint not in call.request.warnings:
        call.request.warnings.append(complaint)
