"""PUT of an object or of a part of it (status, finalize, approval ...)."""

from __future__ import annotations

from wherry.api.errors import bad_request
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.handlers.create import create, settle_namespace
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.respond import respond


async def handle(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "UpdateOptions")
    registry, info = call.registry, call.info
    found = registry.find(info.namespace, info.name)
    owners = found.value["metadata"].get("managedFields") if found is not None else None
    sent = decode.read_object(core, call, options.field_validation, owners)
    check_name(call, sent["metadata"])
    settle_namespace(call, sent["metadata"])
    if not info.subresource and registry.strategy.allow_create_on_update and found is None:
        result = await create(call, sent, core.owned_write(call, options))
        return respond(core, call, result.value, result.data, 201)
    obj = sent if call.served.inward is None else call.served.inward(sent)

    entries = obj["metadata"].pop("managedFields", None)

    def change(_: Obj) -> Obj:
        """What was sent, copied: losing a race means trying again with the same."""
        copy: Obj = draft(obj)
        if entries is not None:
            copy["metadata"]["managedFields"] = entries
        return copy

    result = await registry.update(
        info.namespace, info.name, change, core.owned_write(call, options), SCOPES[info.subresource]
    )
    return respond(core, call, result.value, result.data)


def check_name(call: Call, metadata: Obj) -> None:
    """The object's name must be the path's."""
    name = metadata.get("name")
    if not name:
        raise bad_request(
            f"the name of the object ({call.info.name} based on URL) was undeterminable: name must be provided"
        )
    if name != call.info.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")
