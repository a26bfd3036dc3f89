"""Pod subresources that end at the kubelet: log, exec, attach, portforward.

Requests are authorized before they come here. Logs are a plain stream. For the others the client's upgrade request is
sent on to the kubelet's socket under the kubelet's path, and from then on bytes are copied both ways: whether they are
WebSocket or SPDY frames is the kubelet's business.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from wherry.api.errors import Cause, StatusError, bad_request, invalid
from wherry.api.types import Obj
from wherry.apiserver.core import Call, Core
from wherry.apiserver.filters.request_info import is_true, query_values
from wherry.apiserver.http import Answer, Hijack, Response, Stream
from wherry.apiserver.kubelet_client import KubeletClient
from wherry.apiserver.options import integer
from wherry.apiserver.registry.validation import field
from wherry.apiserver.splicing import Connection, splice

_LOG_QUERY = ("follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
_LOG_FLAGS = ("follow", "previous", "timestamps")
_HOP_HEADERS = frozenset({"authorization", "host", "content-length", "transfer-encoding", "expect"})


# -- logs


async def log(core: Core, call: Call) -> Answer:
    pod = call.registry.get(call.info.namespace, call.info.name).value
    query = call.request.query
    _check_log_options(call, query)
    container = _container(pod, query.get("container", ""))
    node = pod["spec"].get("nodeName")
    if not node:
        return Response(204, None, b"", "")
    parameters = {key: "true" if key in _LOG_FLAGS else query[key] for key in _LOG_QUERY if _asked(query, key)}
    path = f"/containerLogs/{call.info.namespace}/{call.info.name}/{container}"
    if core.pretended is not None and core.pretended.has(node):
        chunks = core.pretended.logs(pod, container, parameters)
    else:
        chunks = KubeletClient(core.kubelet_socket).stream(node, f"{path}?{urlencode(parameters)}")
    await anext(chunks)  # raises what the kubelet refuses, while there still can be a status code
    return Stream(chunks, content_type="text/plain")


def _asked(query: Any, key: str) -> bool:
    return is_true(query.get(key)) if key in _LOG_FLAGS else bool(query.get(key))


def _check_log_options(call: Call, query: Any) -> None:
    causes: list[Cause] = []
    tail, limit, since = (integer(query, key) for key in ("tailLines", "limitBytes", "sinceSeconds"))
    causes += field.non_negative(tail, "tailLines")
    if limit is not None and limit < 1:
        causes.append(field.invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and query.get("sinceTime"):
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(field.forbidden("[]", text))
    elif since is not None and since < 1:
        causes.append(field.invalid("sinceSeconds", since, "must be greater than 0"))
    if causes:
        raise invalid("PodLogOptions", "", call.info.name, causes)


def _container(pod: Obj, wanted: str) -> str:
    """The container meant: the one named, else the only one. Raises 400."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [each["name"] for each in spec.get("containers", [])]
    init = [each["name"] for each in spec.get("initContainers") or []]
    ephemeral = [each["name"] for each in spec.get("ephemeralContainers") or []]
    if wanted:
        if wanted not in (*main, *init, *ephemeral):
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1 and not init and not ephemeral:
        return str(main[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise bad_request(text)


# -- upgrades


async def connect(core: Core, call: Call) -> Answer:
    """exec, attach, portforward: GET with a WebSocket upgrade, POST with SPDY."""
    pod = call.registry.get(call.info.namespace, call.info.name).value
    node = pod["spec"].get("nodeName")
    if not node:
        raise bad_request(f"pod {call.info.name} does not have a host assigned")
    path = _kubelet_path(call, pod)
    if core.pretended is not None and core.pretended.has(node):
        where = f"{call.info.namespace}/{call.info.name}"
        raise bad_request(f"pod {where} runs on a simulated node: there is no process for {call.info.subresource}")
    if "upgrade" not in call.request.headers:
        raise bad_request("Upgrade request required")
    kubelet = KubeletClient(core.kubelet_socket)
    reader, writer = await kubelet.connect(node)
    head = _head(call, path)

    async def run(connection: Connection) -> None:
        writer.write(head)
        try:
            await splice(connection, reader, writer)
        finally:
            writer.close()
            connection.close()

    return Hijack(run)


def _kubelet_path(call: Call, pod: Obj) -> str:
    request, info = call.request, call.info
    where = f"{quote(info.namespace)}/{quote(info.name)}"
    if info.subresource == "portforward":
        ports = [("port", port) for value in query_values(request.query_string, "ports") for port in value.split(",")]
        return f"/portForward/{where}?{urlencode(ports)}" if ports else f"/portForward/{where}"
    query = request.query
    container = _container(pod, query.get("container", ""))
    wanted = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "tty"}
    defaults = {"stdout": "true", "stderr": "true"}
    said = any(name in query for name in wanted.values())
    parameters = [
        (kubelet, "1")
        for kubelet, name in wanted.items()
        if is_true(query.get(name, None if said else defaults.get(name)))
    ]
    if not any(name in ("input", "output", "error") for name, _ in parameters):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if info.subresource == "exec":
        command = query_values(request.query_string, "command")
        if not command:
            raise StatusError(400, "BadRequest", "you must specify at least one command for the container")
        parameters += [("command", word) for word in command]
    return f"/{info.subresource}/{where}/{quote(container)}?{urlencode(parameters)}"


def _head(call: Call, path: str) -> bytes:
    """The request as the kubelet shall see it: credentials stay here."""
    lines = [f"{call.request.method} {path} HTTP/1.1", "Host: kubelet"]
    for name, value in call.request.headers.items():
        if name not in _HOP_HEADERS and not name.startswith("impersonate-"):
            # A repeated header (Sec-WebSocket-Protocol) means the same as one with commas.
            lines.append(f"{name}: {value.replace(chr(10), ', ')}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
