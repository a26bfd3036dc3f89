"""Every operation of every resource: what OpenAPI calls paths, before it is written in either version's style.

The deprecated /watch/ paths and OPTIONS and HEAD on proxies are left out; nothing reads them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from wherry.api.scheme import Resource, Subresource
from wherry.api.types import Obj

STATUS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    _STRATEGIC,
)

_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LOG: Final = (
    "container", "follow", "limitBytes", "previous", "sinceSeconds", "stream", "tailLines", "timestamps",
)  # fmt: skip
_CONNECT: Final = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "portforward": ("ports",),
    "proxy": ("path",),
}
# What clients read of a parameter is its name; its type and a line about it are for people.
PARAMETERS: Final[dict[str, tuple[str, str]]] = {
    "allowWatchBookmarks": ("boolean", "Whether a watch may send events of type BOOKMARK."),
    "command": ("string", "The command to run, one parameter per argument."),
    "container": ("string", "The container; the only one if there is one."),
    "continue": ("string", "Where a list that was cut by limit goes on, as the last answer said."),
    "dryRun": ("string", "All: every stage is run, nothing is stored."),
    "fieldManager": ("string", "The name of who makes this change, at most 128 characters."),
    "fieldSelector": ("string", "Only objects with these fields."),
    "fieldValidation": ("string", "Unknown or repeated fields: Ignore drops, Warn warns, Strict refuses."),
    "follow": ("boolean", "Whether to go on sending as more is written."),
    "force": ("boolean", "Whether to take fields over from other managers when applying."),
    "gracePeriodSeconds": ("integer", "Seconds before the object is deleted; 0 at once."),
    "labelSelector": ("string", "Only objects with these labels."),
    "limit": ("integer", "The most objects one answer may have."),
    "limitBytes": ("integer", "The most bytes to send."),
    "orphanDependents": ("boolean", "Use propagationPolicy instead."),
    "path": ("string", "The path to ask for behind the proxy."),
    "ports": ("integer", "The ports to forward."),
    "pretty": ("string", "Whether to indent the answer."),
    "previous": ("boolean", "Whether to send the log of the container's previous run."),
    "propagationPolicy": ("string", "What happens to dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "The version to list at or to watch from."),
    "resourceVersionMatch": ("string", "How resourceVersion constrains a list: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with the objects there are."),
    "sinceSeconds": ("integer", "Only what was written in the last seconds."),
    "stderr": ("boolean", "Whether to connect standard error."),
    "stdin": ("boolean", "Whether to connect standard input."),
    "stdout": ("boolean", "Whether to connect standard output."),
    "stream": ("string", "Which stream to send: All, Stdout or Stderr."),
    "tailLines": ("integer", "Only the last lines."),
    "timeoutSeconds": ("integer", "How long a list or watch may take."),
    "timestamps": ("boolean", "Whether every line begins with its time."),
    "tty": ("boolean", "Whether to allocate a terminal."),
    "watch": ("boolean", "Whether to send changes as they happen."),
}


class Operation(Struct, frozen=True):
    """One method on one path. `body` and `response` name definitions; "" is none and plain text."""

    path: str
    method: str
    id: str
    action: str
    tag: str
    gvk: tuple[str, str, str]
    query: tuple[str, ...] = ()
    body: str = ""
    response: str = ""
    creates: bool = False
    strategic: bool = True
    """Nobody says how the lists of custom resources merge: no strategic patches there. kubectl looks."""

    @property
    def patch_types(self) -> tuple[str, ...]:
        return PATCH_TYPES if self.strategic else tuple(each for each in PATCH_TYPES if each != _STRATEGIC)

    @property
    def is_list(self) -> bool:
        return self.action == "list"


def operations(resource: Resource, custom: bool = False) -> Iterator[Operation]:
    """All operations of a resource, which may be a custom one, and of its subresources."""
    for operation in _Operations(resource).all():
        yield replace(operation, strategic=False) if custom else operation


def title(group: str) -> str:
    """`RbacAuthorization`: how operation ids spell a group."""
    return "".join(part.title() for part in group.removesuffix(".k8s.io").split(".")) or "Core"


class _Operations:
    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        root = f"/apis/{resource.group}" if resource.group else "/api"
        self._root = f"{root}/{resource.version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        self._collection = f"{self._root}{scope}/{resource.resource}"
        self._gvk = (resource.group, resource.version, resource.kind)
        self._where = f"{title(resource.group)}{resource.version.title()}"
        self._what = f"{'Namespaced' if resource.namespaced else ''}{resource.kind}"
        self._tag = f"{title(resource.group)[0].lower()}{title(resource.group)[1:]}_{resource.version}"

    def all(self) -> Iterable[Operation]:
        verbs = self._resource.verbs
        if "list" in verbs:
            yield from self._lists()
        if "create" in verbs:
            yield self._write(self._collection, "post", "create", self._gvk, self._resource.definition)
        if "deletecollection" in verbs:
            name = f"delete{self._where}Collection{self._what}"
            query = tuple(sorted({*_LIST, *_DELETE} - {"allowWatchBookmarks", "watch"}))
            yield self._operation(
                self._collection, "delete", name, "deletecollection", query=query, body=DELETE_OPTIONS, response=STATUS
            )
        yield from self._items()
        for sub in self._resource.subresources:
            yield from self._subresource(sub)

    def _lists(self) -> Iterable[Operation]:
        response = f"{self._resource.definition}List"
        yield self._operation(
            self._collection, "get", f"list{self._where}{self._what}", "list", query=_LIST, response=response
        )
        if self._resource.namespaced:
            yield self._operation(
                f"{self._root}/{self._resource.resource}",
                "get",
                f"list{self._where}{self._resource.kind}ForAllNamespaces",
                "list",
                query=_LIST,
                response=response,
            )

    def _items(self) -> Iterable[Operation]:
        (path, verbs, definition) = (f"{self._collection}/{{name}}", self._resource.verbs, self._resource.definition)
        if "get" in verbs:
            yield self._operation(path, "get", f"read{self._where}{self._what}", "get", response=definition)
        if "update" in verbs:
            yield self._write(path, "put", "replace", self._gvk, definition)
        if "patch" in verbs:
            yield self._write(path, "patch", "patch", self._gvk, definition)
        if "delete" in verbs:
            name = f"delete{self._where}{self._what}"
            yield self._operation(path, "delete", name, "delete", query=_DELETE, body=DELETE_OPTIONS, response=STATUS)

    def _subresource(self, sub: Subresource) -> Iterable[Operation]:
        path = f"{self._collection}/{{name}}/{sub.name}"
        gvk = (sub.group, sub.version, sub.kind)
        what = self._what + sub.name.title()
        if sub.name in _CONNECT:
            yield from self._connect(path, sub, gvk, what)
            return
        if "get" in sub.verbs:
            is_log = sub.name == "log"
            yield self._operation(
                path, "get", f"read{self._where}{what}", "get", gvk,
                query=_LOG if is_log else (), response="" if is_log else sub.definition,
            )  # fmt: skip
        for verb, method, word in (
            ("create", "post", "create"),
            ("update", "put", "replace"),
            ("patch", "patch", "patch"),
        ):
            if verb in sub.verbs:
                yield self._write(path, method, word, gvk, sub.definition, what)

    def _connect(self, path: str, sub: Subresource, gvk: tuple[str, str, str], what: str) -> Iterable[Operation]:
        methods = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}
        for suffix, ending in (("", ""), ("/{path}", "WithPath")) if sub.name == "proxy" else (("", ""),):
            for verb in sub.verbs:
                name = f"connect{self._where}{methods[verb].title()}{what}{ending}"
                yield self._operation(path + suffix, methods[verb], name, "connect", gvk, query=_CONNECT[sub.name])

    def _write(
        self, path: str, method: str, word: str, gvk: tuple[str, str, str], definition: str, what: str = ""
    ) -> Operation:
        query = (*_WRITE, "force") if method == "patch" else _WRITE
        name = f"{word}{self._where}{what or self._what}"
        return self._operation(
            path, method, name, method, gvk, query=query, body=definition, response=definition, creates=True
        )

    def _operation(
        self,
        path: str,
        method: str,
        name: str,
        action: str,
        gvk: tuple[str, str, str] | None = None,
        query: tuple[str, ...] = (),
        body: str = "",
        response: str = "",
        creates: bool = False,
    ) -> Operation:
        return Operation(path, method, name, action, self._tag, gvk or self._gvk, query, body, response, creates)


def path_parameters(path: str) -> list[Obj]:
    """The placeholders of a path: name and a line about each."""
    told = {
        "name": "The name of the object.",
        "namespace": "The namespace of the object.",
        "path": "The path to ask for behind the proxy.",
    }
    return [{"name": name, "description": text} for name, text in told.items() if f"{{{name}}}" in path]
