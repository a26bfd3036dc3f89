"""Query parameters and DeleteOptions: parsed, checked and refused in Kubernetes' words (meta/v1 ListOptions, CreateOptions,
UpdateOptions, PatchOptions, DeleteOptions)."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from wherry.api.errors import Cause, bad_request, invalid
from wherry.api.types import Obj
from wherry.apiserver.filters.request_info import is_true, query_values
from wherry.apiserver.http import Request
from wherry.apiserver.registry.validation import field

FIELD_MANAGER_BYTES_MAX = 128
_PROPAGATION = ("Foreground", "Background", "Orphan", "nil")
_FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")


class ListOptions(Struct, frozen=True):
    """Of get-many and watch. `resource_version` None means "the newest"; 0 "any"."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_: str = ""
    resource_version: int | None = None
    match: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


def list_options(query: Mapping[str, str], watch: bool = False) -> ListOptions:
    """Raises 400 and 422."""
    if not query:
        return _NO_OPTIONS
    match = query.get("resourceVersionMatch", "")
    initial = is_true(query["sendInitialEvents"]) if "sendInitialEvents" in query else None
    text = query.get("resourceVersion", "")
    token = query.get("continue", "")
    limit = integer(query, "limit") or 0
    timeout = integer(query, "timeoutSeconds")
    causes = _watch_causes(text, match, initial, watch) if watch else _list_causes(text, match, initial)
    if causes:
        raise invalid("ListOptions", "meta.k8s.io", "", causes)
    if token and text and text != "0":
        raise bad_request("specifying resource version is not allowed when using continue")
    return ListOptions(
        query.get("labelSelector", ""),
        query.get("fieldSelector", ""),
        max(limit, 0),
        token,
        parse_version(text, "invalid resource version: "),
        match,
        timeout,
        is_true(query.get("allowWatchBookmarks")),
        initial,
    )


_NO_OPTIONS = ListOptions()
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS_MAX = 64
"""Beyond it leading zeros are no excuse."""


def _list_causes(version: str, match: str, initial: bool | None) -> list[Cause]:
    if initial is not None:
        return [field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not match:
        return []
    path = "resourceVersionMatch"
    if not version:
        return [field.forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided")]
    if match not in ("Exact", "NotOlderThan"):
        return [field.not_supported(path, match, ("Exact", "NotOlderThan", ""))]
    if match == "Exact" and version == "0":
        return [field.forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')]
    return []


def _watch_causes(version: str, match: str, initial: bool | None, watch: bool) -> list[Cause]:
    path = "resourceVersionMatch"
    if initial is None:
        if match:
            return [
                field.forbidden(
                    path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                )
            ]
        return []
    if match != "NotOlderThan":
        return [field.forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")]
    return []


def integer(query: Mapping[str, str], name: str) -> int | None:
    """A whole number of a query parameter; absent and empty are None. Raises 400 with Go's words."""
    text = query.get(name, "")
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        raise bad_request(f"strconv.ParseInt: parsing {field.quote(text)}: invalid syntax")
    if len(text) > _DIGITS_MAX or not -(1 << 63) <= int(text) < 1 << 63:
        raise bad_request(f"strconv.ParseInt: parsing {field.quote(text)}: value out of range")
    return int(text)


def parse_version(text: str, prefix: str = "") -> int | None:
    """A resourceVersion as a number; "" is None."""
    if not text:
        return None
    problem = "invalid syntax"
    if text.isascii() and text.isdigit():
        if len(text) <= _DIGITS_MAX and int(text) < 1 << 64:
            return int(text)
        problem = "value out of range"
    message = (
        f"{prefix}resourceVersion: Invalid value: {field.quote(text)}: "
        f"strconv.ParseUint: parsing {field.quote(text)}: {problem}"
    )
    raise bad_request(message)


# -- writes


class WriteOptions(Struct, frozen=True):
    """Of create, update, patch."""

    dry_run: bool = False
    field_validation: str = "Warn"
    field_manager: str = ""
    force: bool = False


_PLAIN_WRITE = WriteOptions()


def write_options(request: Request, kind: str, is_apply: bool = False) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions, for messages. Raises 422."""
    query = request.query
    if not query and not is_apply:
        return _PLAIN_WRITE
    causes: list[Cause] = []
    if is_apply and not query.get("fieldManager"):
        causes.append(field.required("fieldManager", "is required for apply patch"))
    elif not is_apply and "force" in query and kind == "PatchOptions":
        causes.append(field.forbidden("force", "may not be specified for non-apply patch"))
    dry_run = _dry_run(query_values(request.query_string, "dryRun") or _one(query, "dryRun"), causes)
    validation = query.get("fieldValidation", "")
    if validation not in _FIELD_VALIDATION:
        causes.append(field.not_supported("fieldValidation", validation, _FIELD_VALIDATION))
    if "fieldManager" in query:
        causes += _field_manager(query["fieldManager"])
    if causes:
        raise invalid(kind, "meta.k8s.io", "", causes)
    return WriteOptions(dry_run, validation or "Warn", query.get("fieldManager", ""), is_true(query.get("force")))


def _one(query: Mapping[str, str], name: str) -> list[str]:
    return [query[name]] if query.get(name) else []


def _dry_run(values: list[str], causes: list[Cause]) -> bool:
    values = [value for value in values if value]
    if any(value != "All" for value in values):
        causes.append(field.not_supported("dryRun", values, ("All",)))
    return bool(values)


def _field_manager(name: str) -> list[Cause]:
    if len(name.encode()) > FIELD_MANAGER_BYTES_MAX:
        return [field.too_long("fieldManager", FIELD_MANAGER_BYTES_MAX)]
    for position, character in enumerate(name):
        if unicodedata.category(character).startswith("C"):
            detail = f"invalid character U+{ord(character):04X} (at position {position})"
            return [field.invalid("fieldManager", name, detail)]
    return []


def delete_options(request: Request, body: Any) -> Obj:
    """DeleteOptions out of the body (None when there is none) or, failing that, the query. Raises 400, 422."""
    if isinstance(body, dict) and body:
        kind = body.get("kind")
        if kind is not None and kind != "DeleteOptions":
            version = body.get("apiVersion", "v1")
            raise bad_request(
                f'no kind "{kind}" is registered for version "{version}" in scheme '
                '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
            )
        options = dict(body)
    else:
        options = _delete_query(request)
    causes: list[Cause] = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(field.invalid("propagationPolicy", policy, detail))
    elif policy is not None and policy not in _PROPAGATION[:3]:
        causes.append(field.not_supported("propagationPolicy", policy, _PROPAGATION))
    options["dryRun"] = ["All"] if _dry_run(options.get("dryRun") or [], causes) else []
    if causes:
        raise invalid("DeleteOptions", "meta.k8s.io", "", causes)
    return options


def _delete_query(request: Request) -> Obj:
    query = request.query
    if not query:
        return {}
    options: Obj = {}
    grace = integer(query, "gracePeriodSeconds")
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if query.get("propagationPolicy"):
        options["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        options["orphanDependents"] = is_true(query["orphanDependents"])
    values = query_values(request.query_string, "dryRun") or _one(query, "dryRun")
    if values:
        options["dryRun"] = values
    return options


# -- continue tokens


class Continue(Struct, frozen=True):
    """Where the next page starts: the first key not yet given, relative to the resource, in the list's snapshot.
    `revision` -1: the snapshot is gone and its caller accepts the current state."""

    revision: int
    start: str

    def encode(self) -> str:
        token = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start}
        return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def decode_continue(token: str) -> Continue:
    """Raises 400."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        fields = msgspec.json.decode(raw)
        version, found = fields["v"], Continue(int(fields["rv"]), str(fields["start"]))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, KeyError):
        raise bad_request("invalid continue token: continue key is not valid") from None
    if version != "meta.k8s.io/v1" or not found.start or found.revision == 0:
        raise bad_request("invalid continue token: continue key is not valid: incorrect encoded start resourceVersion")
    return found
