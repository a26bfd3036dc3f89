"""PATCH: JSON patch, merge patch and strategic merge patch, applied to the object as it is when its turn comes; apply has a
file of its own.

The patched document is decoded like a body that was sent: unknown fields are dropped or refused, wrong types are 422. A
patch that names a resourceVersion is bound to it, any other is applied to whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wherry.api import json
from wherry.api.errors import StatusError, bad_request, unsupported_media_type
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.handlers import apply as applying
from wherry.apiserver.handlers.create import settle_namespace
from wherry.apiserver.handlers.update import check_name
from wherry.apiserver.http import Answer
from wherry.apiserver.merge_patch import merge_patch
from wherry.apiserver.negotiation import content_media
from wherry.apiserver.options import write_options
from wherry.apiserver.patch import MAX_OPERATIONS, PatchError, json_patch, shape_problem, too_many, unknown_fields
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.respond import respond
from wherry.apiserver.strategic import StrategicPatchError, strategic_merge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

Apply = Callable[[Obj], Any]
"""The document now -> the patched document."""


async def handle(core: Core, call: Call) -> Answer:
    media = content_media(call.request.headers)
    options = write_options(call.request, "PatchOptions", media == APPLY_PATCH)
    if media == APPLY_PATCH:
        return await applying.handle(core, call, options)
    patch, apply, duplicates, said = reader(core, call, media, options.field_validation)
    shown = patch if media == STRATEGIC_PATCH else None
    served, info = call.served, call.info

    def change(current: Obj) -> Obj:
        try:
            before = served.show(current)
            patched = apply(before)
            owners = current["metadata"].get("managedFields")
            validation = options.field_validation
            obj = decode.settle_patched(core, call, patched, validation, duplicates, shown, owners, before, said)
        except RecursionError:
            raise bad_request("error decoding patch: json: exceeded max depth") from None
        check_name(call, obj["metadata"])
        settle_namespace(call, obj["metadata"])
        return obj if served.inward is None else served.inward(obj)

    write = core.owned_write(call, options)
    result = await call.registry.update(info.namespace, info.name, change, write, SCOPES[info.subresource])
    return respond(core, call, result.value, result.data)


def reader(core: Core, call: Call, media: str, validation: str) -> tuple[Any, Apply, list[str], list[str]]:
    """The patch, how it is applied, which of its fields came twice, and what else is wrong with its spelling. Raises 400, 413,
    415."""
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if media == STRATEGIC_PATCH and call.served.codec is not None and call.info.subresource != "scale":
        raise unsupported_media_type(media, (JSON_PATCH, MERGE_PATCH, APPLY_PATCH))  # nothing says how its lists merge
    patch, duplicates = _document(call, media, validation)
    if media == JSON_PATCH:
        said = [f'json patch duplicate field "{path}"' for path in duplicates]
        said += [f'json patch unknown field "{path}"' for path in unknown_fields(patch)]
        return patch, _json_patch(patch), [], said
    if media == MERGE_PATCH:
        return patch, lambda current: merge_patch(current, patch), duplicates, []
    _, _, schema = core.expected(call)

    def strategic(current: Obj) -> Obj:
        try:
            return strategic_merge(current, patch, schema)
        except StrategicPatchError as error:
            raise bad_request(str(error)) from None

    return patch, strategic, duplicates, []


def _json_patch(patch: Any) -> Apply:
    def apply(current: Obj) -> Any:
        try:
            return json_patch(current, patch)
        except PatchError as error:
            raise _unprocessable(str(error)) from None

    return apply


def _unprocessable(problem: str) -> StatusError:
    """Kubernetes keeps what went wrong for the causes."""
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, {"causes": [{"message": problem}]})


def _document(call: Call, media: str, validation: str) -> tuple[Any, list[str]]:
    """The patch as sent, checked for its outermost shape."""
    request = call.request
    duplicates: list[str] = []
    if request.draft is not None:
        patch = draft(request.draft)
    else:
        patch, duplicates = _parse(request.body, media, validation)
    if media == JSON_PATCH:
        return _operations(patch), duplicates
    if isinstance(patch, dict):
        return patch, duplicates
    if patch is None and media == MERGE_PATCH:
        raise bad_request("Invalid JSON Patch")
    problem = f"json: cannot unmarshal {decode.json_kind(patch)} into Go value of type map[string]interface {{}}"
    raise bad_request(problem if media == STRATEGIC_PATCH else f"error decoding patch: {problem}")


def _operations(patch: Any) -> list[Any]:
    """A JSON patch. Raises 400, 413."""
    problem = shape_problem(patch)
    if problem:
        raise bad_request(f"error decoding patch: {problem}")
    operations: list[Any] = patch or []
    if len(operations) > MAX_OPERATIONS:
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {too_many(operations)}")
    return operations


def _parse(body: bytes, media: str, validation: str) -> tuple[Any, list[str]]:
    try:
        if validation == "Ignore":
            return json.decode_body(body), []
        return json.decode_strict(body)
    except ValueError:
        problem = json.syntax_problem(body)
        raise bad_request(problem if media == STRATEGIC_PATCH else f"error decoding patch: {problem}") from None
