"""GET of one object: its bytes as they were stored."""

from __future__ import annotations

from wherry.api.errors import StatusError
from wherry.apiserver.core import Call, Core
from wherry.apiserver.http import Answer
from wherry.apiserver.options import parse_version
from wherry.apiserver.respond import respond


async def handle(core: Core, call: Call) -> Answer:
    """`resourceVersion` may only be too new: what is answered is always the newest."""
    wanted = call.request.query.get("resourceVersion")
    if wanted:
        version = parse_version(wanted)
        if version is not None and version > core.storage.revision:
            raise version_too_large(version, core.storage.revision)
    if call.served.codec is not None:
        await call.served.codec.warm(call.registry.key(call.info.namespace, call.info.name))
    entry = call.registry.get(call.info.namespace, call.info.name)
    return respond(core, call, entry.value, entry.data)


def version_too_large(wanted: int, current: int) -> StatusError:
    """504: the caller knows a revision that has not happened here."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return StatusError(504, "Timeout", message, details, {"Retry-After": "1"})
