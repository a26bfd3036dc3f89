"""CONNECT as admission knows it: exec, attach, portforward and proxy are judged by what was asked for, before anything opens.

The object is the options of the request (PodExecOptions and its like), made of the query. Nothing can change them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wherry.api.integers import capped
from wherry.api.types import Obj
from wherry.apiserver.core import Call, Core
from wherry.apiserver.filters.request_info import is_true, query_values
from wherry.apiserver.http import Answer

Verb = Callable[[Core, Call], Awaitable[Answer]]
_KINDS = {
    ("pods", "exec"): "PodExecOptions",
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
    ("nodes", "proxy"): "NodeProxyOptions",
}
_STREAMS = ("stdin", "stdout", "stderr", "tty")


def admitted(verb: Verb) -> Verb:
    """The same verb, once admission has nothing against it."""

    async def handle(core: Core, call: Call) -> Answer:
        await core.admit(call, "CONNECT", options(call))
        return await verb(core, call)

    return handle


def options(call: Call) -> Obj:
    """PodExecOptions and its like, as the query says them."""
    info, query, text = call.info, call.request.query, call.request.query_string
    said: Obj = {"kind": _KINDS[info.resource, info.subresource], "apiVersion": "v1"}
    if info.subresource == "proxy":
        return {**said, "path": f"/{info.rest.lstrip('/')}"}
    if info.subresource == "portforward":
        ports = [
            capped(port)
            for each in query_values(text, "ports")
            for port in each.split(",")
            if port.isascii() and port.isdigit()
        ]
        return {**said, "ports": ports} if ports else said
    for stream in _STREAMS:
        if is_true(query.get(stream)):
            said[stream] = True
    if query.get("container"):
        said["container"] = query["container"]
    command = query_values(text, "command")
    if command and info.subresource == "exec":
        said["command"] = command
    return said
