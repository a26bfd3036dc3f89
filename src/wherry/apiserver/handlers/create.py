"""POST to a collection."""

from __future__ import annotations

from wherry.api.errors import StatusError, bad_request
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.generic import Result, Write
from wherry.apiserver.respond import respond

TERMINATING = "create not allowed while custom resource definition is terminating"
NAMESPACE_MISMATCH = "the namespace of the provided object does not match the namespace sent on the request"


async def handle(core: Core, call: Call) -> Answer:
    if call.served.terminating:
        group_kind = {"group": call.resource.group, "kind": call.resource.resource}
        raise StatusError(405, "MethodNotAllowed", TERMINATING, group_kind)
    options = write_options(call.request, "CreateOptions")
    obj = decode.read_object(core, call, options.field_validation)
    result = await create(call, obj, core.owned_write(call, options))
    return respond(core, call, result.value, result.data, 201)


async def create(call: Call, obj: Obj, write: Write) -> Result:
    """Store `obj`, a draft in the served version."""
    settle_namespace(call, obj["metadata"])
    if call.served.inward is not None:
        obj = call.served.inward(obj)
    return await call.registry.create(obj, write)


def settle_namespace(call: Call, metadata: Obj) -> None:
    """The object's namespace is the path's; saying another is an error, saying none is fine."""
    namespace = call.info.namespace if call.resource.namespaced else ""
    said = metadata.get("namespace")
    if said and said != namespace:
        raise bad_request(NAMESPACE_MISMATCH)
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
