"""From a stored object to the answer asked for: as it is, in another version, as a Table, as metadata only.

In process the answer is the object itself. On the wire the stored bytes are reused whenever they are what was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.errors import StatusError, bad_request
from wherry.api.types import Obj
from wherry.apiserver import negotiation
from wherry.apiserver.core import Call, Core
from wherry.apiserver.http import Response
from wherry.apiserver.negotiation import PARTIAL, PARTIAL_LIST, TABLE, Representation

META = "meta.k8s.io"


def respond(core: Core, call: Call, value: Obj, data: bytes | None = None, status: int = 200) -> Response:
    """One object. `data` is its stored encoding, if it has one."""
    served, wanted = call.served, call.representation
    if served.outward is not None:
        value, data = served.outward(value), None
    if call.in_process:
        return Response(status, value)
    if not wanted.as_kind:
        return write(value, wanted, status, data)
    if wanted.as_kind == PARTIAL_LIST:
        raise StatusError(
            406,
            "NotAcceptable",
            f"you requested PartialObjectMetadataList, but the requested object is not a list (*core.{value['kind']})",
        )
    if wanted.as_kind == PARTIAL:
        return write(partial(value, wanted), wanted, status)
    version = value["metadata"].get("resourceVersion", "")
    return write(table(core, call, [value], {"resourceVersion": version}), wanted, status)


def write(obj: Obj, wanted: Representation, status: int = 200, data: bytes | None = None) -> Response:
    """Any object, encoded as wanted."""
    if data is None:
        return Response(status, obj, negotiation.encode(obj, wanted), wanted.media)
    if wanted.media == negotiation.JSON and not wanted.pretty:
        return Response(status, obj, data + b"\n")
    return Response(status, obj, negotiation.rewrite(data, obj, wanted), wanted.media)


def answer(call: Call, obj: Obj, status: int = 200) -> Response:
    """An object that is not stored (a review, a Status, a Scale)."""
    if call.in_process:
        return Response(status, obj)
    plain = Representation(call.representation.media, pretty=call.representation.pretty)
    return write(obj, plain, status)


def success(call: Call, value: Obj) -> Response:
    """The Status that answers a DELETE."""
    resource = call.registry.resource
    details: Obj = {"name": value["metadata"]["name"]}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.resource
    details["uid"] = value["metadata"].get("uid", "")
    return answer(call, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


def partial(value: Obj, wanted: Representation) -> Obj:
    return {"kind": PARTIAL, "apiVersion": f"{META}/{wanted.as_version}", "metadata": value["metadata"]}


def table(core: Core, call: Call, values: Sequence[Obj], metadata: Obj, columns: bool = True) -> Obj:
    """`values` (in the served version) as a meta.k8s.io Table. Raises 400 for an unknown includeObject."""
    include = call.request.query.get("includeObject", "")
    if include not in ("", "Metadata", "Object", "None"):
        detail = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise bad_request(f"Unable to convert to Table as requested: {detail}")
    return core.tables.table(call.resource, values, metadata, include or "Metadata", core.clock.time(), columns)


def is_table(wanted: Representation) -> bool:
    return wanted.as_kind == TABLE
