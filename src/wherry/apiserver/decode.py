"""Request bodies: from bytes to a private draft of the kind the path asks for.

Order of complaints as Kubernetes has it: media type, syntax, kind and version, types, and (fieldValidation) fields that are
unknown or came twice: Strict refuses them, Warn says so in warnings, Ignore drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from wherry.api import json
from wherry.api.errors import Cause, StatusError, bad_request, invalid
from wherry.api.schema import Schema
from wherry.api.structure import Findings, normalise, strict_warnings
from wherry.api.types import Obj
from wherry.apiserver import protobuf
from wherry.apiserver.apply.entries import FORGET, is_forgotten
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.http import Request
from wherry.apiserver.negotiation import JSON, PROTOBUF, YAML, content_media, refuse_media
from wherry.apiserver.registry.validation import field
from wherry.apiserver.strategic import go_format

Normalise: TypeAlias = Callable[[Obj, Schema], Findings]
SUMMARY_BYTES = 30
json_kind = json.kind_of
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def read_object(core: Core, call: Call, validation: str = "Warn", owners: Any = None) -> Obj:
    """The body as a draft of the call's kind, with `metadata`. Raises 400, 415. `owners`: see `settle_patched`."""
    kind, api_version, schema = core.expected(call)
    named = call.served.codec is not None and call.info.subresource != "scale"
    return read_kind(call.request, kind, api_version, schema, validation, core.normaliser(call), owners, named)


def read_kind(
    request: Request,
    kind: str,
    api_version: str,
    schema: Schema,
    validation: str = "Warn",
    normalise: Normalise = normalise,
    owners: Any = None,
    named: bool = False,
) -> Obj:
    """The body as a draft of any kind. `named`: it must say which (custom resources, whose kind no decoder knows)."""
    duplicates: list[str] = []
    said: list[str] = []
    if content_media(request.headers) == PROTOBUF and request.draft is None:
        value = _parse_protobuf(request, kind, api_version, schema)
    else:
        value, duplicates, said = _parse(request, kind, validation)
    if value is None:
        value = {}  # to Go's decoder a null is nothing
    if not isinstance(value, dict):
        problem = f"json: cannot unmarshal {json_kind(value)} into Go value of type {_TYPE_META}"
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {problem}", request.body)
    if named and request.draft is None:
        _check_named(value, kind, api_version)
    said_kind, said_version = value.get("kind") or kind, value.get("apiVersion") or api_version
    if (said_kind, said_version) != (kind, api_version):
        raise _other_kind(str(said_kind), str(said_version), kind, api_version)
    value["kind"], value["apiVersion"] = kind, api_version
    if request.audit is not None:
        request.audit.saw(value)
    forgets = is_forgotten(value)
    metadata = value.get("metadata")
    kept = isinstance(metadata, dict) and bool(owners) and metadata.get("managedFields") == owners
    if kept and metadata is not None:
        del metadata["managedFields"]
    findings = normalise(value, schema)
    if findings.error:
        raise _unfit(kind, api_version, findings.error)
    if findings.unknown or duplicates or said:
        complaints = said + strict_warnings(duplicates, findings)
        if validation == "Strict":
            raise _unfit(kind, api_version, f"strict decoding error: {', '.join(complaints)}")
        if validation == "Warn":
            request.warnings += complaints
    if value.get("metadata") is None:
        value["metadata"] = {}
    if kept or forgets:
        value["metadata"]["managedFields"] = owners if kept else FORGET
    return value


def _check_named(value: Obj, kind: str, api_version: str) -> None:
    """Raises 400, 422."""
    said, version = value.get("kind") or "", value.get("apiVersion") or ""
    if not said:
        raise bad_request("Object 'Kind' is missing in 'object has no kind field '")
    if version != api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({api_version})"
        )
    if said != kind:
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else ""
        cause = field.invalid("kind", said, f"must be {kind}")
        raise invalid(kind, api_version.partition("/")[0], name or "", [cause])


def settle_patched(
    core: Core,
    call: Call,
    patched: Any,
    validation: str,
    duplicates: list[str],
    shown: Any = None,
    owners: Any = None,
    before: Obj | None = None,
    said: Sequence[str] = (),
) -> Obj:
    """What a patch made of an object, as a private draft. `shown` is what errors quote: the patch itself where Kubernetes
    quotes that (strategic), else the patched document. `owners`: the object's managedFields, which need no look if they
    are what the patch left there. Raises 422.

    Fields that were unknown in `before` (another Kubernetes version stored them, a CustomResourceDefinition lost them) go
    without a word: who patches something else is not to blame.
    """
    _, _, schema = core.expected(call)
    if not isinstance(patched, dict):
        raise _unpatchable(patched, shown, f"json: cannot unmarshal {json_kind(patched)} into Go value")
    spec = _spec_left_alone(call, patched, before)
    judged = patched if spec is None else {key: value for key, value in patched.items() if key != "spec"}
    metadata = judged.get("metadata")
    kept = isinstance(metadata, dict) and bool(owners) and metadata.get("managedFields") is owners
    if kept and metadata is not None:
        bare = {key: value for key, value in metadata.items() if key != "managedFields"}
        obj: Obj = draft({**judged, "metadata": bare})
    else:
        obj = draft(judged)
    forgets = is_forgotten(obj)
    findings = core.normaliser(call)(obj, schema)
    if findings.error:
        raise _unpatchable(patched, shown, _restored(findings.error, shown))
    if findings.unknown and before is not None:
        known_to_be = set(core.normaliser(call)(draft(before), schema).unknown)
        findings.unknown[:] = [path for path in findings.unknown if path not in known_to_be]
    if findings.unknown or duplicates or said:
        if validation == "Strict":
            complaints = [*said, *strict_warnings(duplicates, findings)]
            raise _unpatchable(patched, shown, f"strict decoding error: {', '.join(complaints)}")
        if validation == "Warn":
            findings.unknown.sort()  # a patched document has its keys in order
            for text in [*said, *strict_warnings(duplicates, findings)]:
                if text not in call.request.warnings:
                    call.request.warnings.append(text)
    if obj.get("metadata") is None:
        obj["metadata"] = {}
    if kept or forgets:
        obj["metadata"]["managedFields"] = owners if kept else FORGET
    if spec is not None:
        obj["spec"] = draft(spec)
    return obj


def _spec_left_alone(call: Call, patched: Obj, before: Obj | None) -> Any:
    """The spec of a built-in object whose status is patched: it was judged when it was written, and stays as stored."""
    if before is None or call.info.subresource != "status" or call.served.codec is not None:
        return None
    spec = patched.get("spec")
    return spec if spec is before.get("spec") else None


def read_options(core: Core, call: Call) -> Any:
    """The DeleteOptions body of a DELETE, None when there is none. Raises 400, 415."""
    request, kind = call.request, "DeleteOptions"
    if request.draft is None and not request.body:
        return None
    schema = core.scheme.schema_of("v1", kind)
    assert schema is not None
    if content_media(request.headers) == PROTOBUF and request.draft is None:
        value = _parse_protobuf(request, kind, "v1", schema)
    else:
        value, _, _ = _parse(request, kind, "Ignore")
    if value is None:
        return None
    if isinstance(value, dict):
        problem = normalise(value, schema).error
    else:
        problem = f"json: cannot unmarshal {json_kind(value)} into Go value of type v1.DeleteOptions"
    if problem:
        raise _unfit(kind, "v1", problem)
    return value


def _parse(request: Request, kind: str, validation: str) -> tuple[Any, list[str], list[str]]:
    """The value, the paths of fields that came twice in JSON, and what YAML has to say of such fields."""
    if request.draft is not None:
        return request.draft, [], []
    media = content_media(request.headers)
    if media == JSON:
        try:
            if validation == "Ignore":
                return json.decode_body(request.body), [], []
            return *json.decode_strict(request.body), []
        except ValueError:
            problem = json.syntax_problem(request.body)
            message = f"couldn't get version/kind; json parse error: {problem}"
            raise _unrecognized(kind, message, request.body) from None
    if media == YAML:
        from wherry.api import yaml  # most clients never send any

        try:
            said: list[str] = []
            return yaml.load(request.body, duplicates=said), [], said
        except ValueError as error:
            raise _unrecognized(kind, f"error converting YAML to JSON: {error}", request.body) from None
    raise refuse_media(media)


def _parse_protobuf(request: Request, kind: str, api_version: str, schema: Schema | None) -> Any:
    def schema_of(said_version: str, said: str) -> Schema | None:
        return schema if (said_version, said) == (api_version, kind) else None

    try:
        return protobuf.decode(request.body, schema_of, (api_version, kind))
    except protobuf.ProtobufError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from None


def _unrecognized(kind: str, problem: str, body: bytes) -> StatusError:
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {problem} ({_summary(body)})")


def _summary(body: bytes) -> str:
    """The start of a body, as text where it looks like JSON."""
    if not body:
        return "<empty>"
    start = body[:SUMMARY_BYTES]
    text = start.decode(errors="replace") if body.startswith(b"{") else start.hex()
    return f"{text} ..." if len(body) > SUMMARY_BYTES else text


def _other_kind(said: str, said_version: str, kind: str, api_version: str) -> StatusError:
    version = said_version.rpartition("/")[2]
    if said == kind:
        return bad_request(
            f"the API version in the data ({said_version}) does not match the expected API version ({api_version})"
        )
    short = api_version.partition("/")[0] if "/" in api_version else "core"
    problem = f"converting ({version}.{said}) to ({short}.{kind}): unknown conversion"
    return bad_request(f'{said} in version "{version}" cannot be handled as a {kind}: {problem}')


def _unfit(kind: str, api_version: str, problem: str) -> StatusError:
    version = api_version.rpartition("/")[2]
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')


def _unpatchable(patched: Any, shown: Any, problem: str) -> StatusError:
    if shown is not None:
        quoted = go_format(shown)
    else:
        ordered = dict(sorted(patched.items())) if isinstance(patched, dict) else patched
        quoted = json.encode(ordered).decode()
    message = f"Invalid value: {field.quote(quoted)}: {problem}"
    return invalid("", "", "", [Cause("FieldValueInvalid", message, "patch")])


def _restored(problem: str, shown: Any) -> str:
    """Strategic patches are decoded by another decoder of Kubernetes', with words of its own."""
    if shown is not None and " into Go struct field " in problem and " of type v1." in problem:
        return f"cannot restore struct from: {problem.split('cannot unmarshal ')[1].split(' ')[0]}"
    return problem
