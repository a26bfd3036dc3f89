"""OpenAPI documents: version 3, one per group and version with an index, and version 2, one for all.

Built when first asked for, kept encoded. kubectl and Helm look in them for field types and descriptions (explain, apply,
diff) and for which parameters an operation takes. Version 2 is also spoken as protobuf, the only form old kubectl reads.
The hashes in the index change with everything the documents are made of, because clients keep documents by them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Final

from wherry.api import json
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.http import Response
from wherry.apiserver.openapi_merge import merge
from wherry.apiserver.openapi_paths import PARAMETERS, Operation, operations, path_parameters
from wherry.apiserver.openapi_protobuf import document as protobuf
from wherry.apiserver.openapi_schemas import V2, V3, Schemas
from wherry.apiserver.serving import Serving

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PROTOBUF_NAMES: Final = (PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
_INDEX_TYPE: Final = "text/plain; charset=utf-8"  # what Kubernetes says of its index, which is JSON all the same
_MEDIA: Final = (JSON, YAML)
_INDEX_HEADERS: Final = {"Cache-Control": "no-cache, private"}
_HEADERS: Final = {**_INDEX_HEADERS, "Vary": "Accept"}
_SECURITY: Final = {
    "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer token"}
}


class OpenAPI:
    """The documents of what is served; each is kept until something in it changes."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._scheme = serving.scheme
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._hashes: dict[str, tuple[int, str]] = {}

    def document(self, path: str, accept: str, known: str = "") -> Response | None:
        """The answer at /openapi/v2, /openapi/v3 and below it, 304 to who has it (`known`: If-None-Match); None where there is
        nothing."""
        path = path.rstrip("/")
        if path == "/openapi/v2":
            as_protobuf = any(name in accept for name in _PROTOBUF_NAMES)
            return self._tagged("v2+protobuf" if as_protobuf else "v2", PROTOBUF if as_protobuf else JSON, known)
        if path == "/openapi/v3":
            return Response(200, None, self._keep("v3"), _INDEX_TYPE, _INDEX_HEADERS)
        (root, _, name) = path.partition("/openapi/v3/")
        if root or name not in self.names:
            return None
        return self._tagged(name, JSON, known)

    def _tagged(self, name: str, media: str, known: str) -> Response:
        tag = f'"{self._hash(name)}"'
        headers = {**_HEADERS, "ETag": tag}
        return (
            Response(304, None, b"", "", headers)
            if has(known, tag)
            else Response(200, None, self._keep(name), media, headers)
        )

    @property
    def names(self) -> list[str]:
        """The documents under /openapi/v3."""
        return sorted({*self._built_in, *(f"apis/{group}/{version}" for group, version in self._custom())})

    @cached_property
    def _built_in(self) -> list[str]:
        found = [".well-known/openid-configuration", "api", "api/v1", "apis", "openid/v1/jwks", "version"]
        for group in self._scheme.groups():
            if group.name:
                found += [f"apis/{group.name}", *(f"apis/{group.name}/{version}" for version in group.versions)]
        return found

    def _custom(self) -> Iterable[tuple[str, str]]:
        """Groups and versions that publish definitions, or whole documents, of their own."""
        for what in self._serving.published.values():
            if what.define is not None:
                yield from what.versions()
            for name in what.documents:
                group, _, version = name.removeprefix("apis/").partition("/")
                yield group, version

    def _stamp(self, name: str) -> int:
        """The version of what is served that a document is made of."""
        if name in ("v2", "v2+protobuf", "v3"):
            return self._serving.version
        return self._serving.stamp(*_group_version(name))

    def _keep(self, name: str) -> bytes:
        stamp = self._stamp(name)
        kept = self._kept.get(name)
        if kept is None or kept[0] != stamp:
            kept = self._kept[name] = (stamp, self._encode(name))
        return kept[1]

    def _encode(self, name: str) -> bytes:
        match name:
            case "v2":
                return json.encode(self.version_2())
            case "v2+protobuf":
                return protobuf(self.version_2())
            case "v3":
                return json.encode(self._index())
            case _:
                made = [what.documents[name] for what in self._serving.published.values() if name in what.documents]
                return made[-1] if made else json.encode(self.version_3(name))

    def _index(self) -> Obj:
        urls = {name: f"/openapi/v3/{name}?hash={self._hash(name)}" for name in self.names}
        return {"paths": {name: {"serverRelativeURL": url} for name, url in urls.items()}}

    def _hash(self, name: str) -> str:
        stamp = self._stamp(name)
        known = self._hashes.get(name)
        if known is None or known[0] != stamp:
            made_of = self._keep(name) if stamp else self._ingredients + name.encode()
            known = self._hashes[name] = (stamp, hashlib.sha512(made_of).hexdigest().upper())
        return known[1]

    @cached_property
    def _ingredients(self) -> bytes:
        """A digest of this code and of the facts: what a document depends on."""
        here = Path(__file__)
        sources = [*sorted(here.parent.glob("openapi*.py")), here.parent.parent / "api" / "catalogue.xz"]
        digest = hashlib.sha256(self._scheme.version.encode())
        for source in sources:
            digest.update(source.read_bytes())
        return digest.digest()

    def _info(self) -> Obj:
        return {"title": "Kubernetes", "version": self._scheme.version}

    def version_3(self, name: str) -> Obj:
        """One document, such as "apis/apps/v1"; `name` is one of `names`."""
        found = [resource for resource in self._described() if _document_name(resource) == name]
        schemas = Schemas(self._scheme, V3, self._defined(V3, _group_version(name)))
        (paths, used) = _paths_3(found, schemas)
        if not found:
            paths = {f"/{name}": {"get": {"description": f"get /{name}", "responses": _answers(_text("string"))}}}
        components: Obj = {"securitySchemes": _SECURITY}
        components["schemas"] = {each: schemas.schema(each) for each in schemas.reachable(used)}
        return {"openapi": "3.0.0", "info": self._info(), "paths": paths, "components": components}

    def version_2(self) -> Obj:
        """The document of everything."""
        defined = self._defined(V2)
        schemas = Schemas(self._scheme, V2, defined)
        names = [*self._scheme.definitions.names(), *defined]
        document: Obj = {
            "swagger": "2.0",
            "info": self._info(),
            "paths": _paths_2(self._described(), schemas),
            "definitions": {name: schemas.schema(name) for name in schemas.reachable(names)},
            "securityDefinitions": _SECURITY,
            "security": [{"BearerToken": []}],
        }
        for what in self._serving.published.values():
            if what.swagger:
                with contextlib.suppress(ValueError, RecursionError):  # of a server that answers nonsense
                    theirs = json.decode(what.swagger)
                    for group, version in what.group_versions:
                        merge(document, theirs, f"/apis/{group}/{version}")
        return document

    def _described(self) -> list[Resource]:
        """The resources whose definitions are known."""
        return [resource for resource in self._serving.resources.values() if resource.definition]

    def _defined(self, prefix: str, group_version: tuple[str, str] | None = None) -> dict[str, Obj]:
        """The definitions of what is not built in, of one group and version or of all."""
        found: dict[str, Obj] = {}
        for what in self._serving.published.values():
            if what.define is not None and (group_version is None or group_version in what.versions()):
                found.update(what.define(prefix))
        return found


def has(known: str, tag: str) -> bool:
    """Whether If-None-Match names a tag, which may be weak there (RFC 9110, 13.1.2)."""
    return bool(known) and (known == "*" or tag in (each.strip().removeprefix("W/") for each in known.split(",")))


def _group_version(name: str) -> tuple[str, str]:
    group, _, version = name.removeprefix("apis/").partition("/")
    return group, version


def _document_name(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def _common(operation: Operation) -> Obj:
    (group, version, kind) = operation.gvk
    return {
        "description": f"{operation.action} {kind}",
        "tags": [operation.tag],
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }


def _answers(ok: Obj) -> Obj:
    return {"200": {"description": "OK", **ok}, "401": {"description": "Unauthorized"}}


def _text(type: str) -> Obj:
    return {"content": {JSON: {"schema": {"type": type}}}}


def _paths_3(resources: Iterable[Resource], schemas: Schemas) -> tuple[Obj, set[str]]:
    """(paths, names of definitions they refer to)"""
    paths: Obj = {}
    used: set[str] = set()
    for resource in resources:
        used.add(resource.definition)
        for operation in operations(resource, schemas.is_defined(resource.definition)):
            used |= {operation.body, operation.response}
            place = paths.setdefault(operation.path, {})
            place[operation.method] = _operation_3(operation, schemas)
            if "parameters" not in place:
                place["parameters"] = [
                    *({"in": "path", "required": True, "schema": _unique("string"), **each}
                      for each in path_parameters(operation.path)),
                    _query_3("pretty"),
                ]  # fmt: skip
    return paths, used - {""}


def _query_3(name: str) -> Obj:
    (type, text) = PARAMETERS[name]
    return {"name": name, "in": "query", "description": text, "schema": _unique(type)}


def _unique(type: str) -> Obj:
    return {"type": type, "uniqueItems": True}


def _operation_3(operation: Operation, schemas: Schemas) -> Obj:
    result = _common(operation)
    if operation.query:
        result["parameters"] = [_query_3(name) for name in operation.query]
    if operation.body:
        if operation.method == "patch":
            body: Obj = {media: {"schema": {"type": "object"}} for media in operation.patch_types}
        else:
            body = {"*/*": {"schema": schemas.reference(operation.body)}}
        result["requestBody"] = {"content": body} | ({"required": True} if operation.creates else {})
    schema = schemas.reference(operation.response) if operation.response else {"type": "string"}
    media = (*_MEDIA, "application/json;stream=watch") if operation.is_list else _MEDIA
    ok = {"content": {each: {"schema": schema} for each in media if operation.response or each == JSON}}
    result["responses"] = _answers(ok)
    for code in _more_codes(operation):
        result["responses"][code] = {"description": _CODES[code], **ok}
    return result


_CODES: Final = {"201": "Created", "202": "Accepted"}


def _more_codes(operation: Operation) -> tuple[str, ...]:
    if operation.action == "delete":
        return ("202",)
    if not operation.creates:
        return ()
    return ("201", "202") if operation.method == "post" else ("201",)


def _paths_2(resources: Iterable[Resource], schemas: Schemas) -> Obj:
    paths: Obj = {}
    for resource in resources:
        for operation in operations(resource, schemas.is_defined(resource.definition)):
            place = paths.setdefault(operation.path, {})
            place[operation.method] = _operation_2(operation, schemas)
            if "parameters" not in place:
                place["parameters"] = [
                    *(
                        {"in": "path", "required": True, "type": "string", **each}
                        for each in path_parameters(operation.path)
                    ),
                    _query_2("pretty"),
                ]
    return paths


def _query_2(name: str) -> Obj:
    (type, text) = PARAMETERS[name]
    return {"name": name, "in": "query", "description": text, "type": type, "uniqueItems": True}


def _operation_2(operation: Operation, schemas: Schemas) -> Obj:
    result = _common(operation)
    result["schemes"] = ["https"]
    result["consumes"] = list(operation.patch_types) if operation.method == "patch" and operation.body else ["*/*"]
    result["produces"] = list(_MEDIA) if operation.response else ["*/*"]
    parameters = [_query_2(name) for name in operation.query]
    if operation.body:
        schema = {"type": "object"} if operation.method == "patch" else schemas.reference(operation.body)
        body: Obj = {"name": "body", "in": "body", "schema": schema}
        parameters.insert(0, body | ({"required": True} if operation.creates else {}))
    if parameters:
        result["parameters"] = parameters
    ok: Obj = {"schema": schemas.reference(operation.response) if operation.response else {"type": "string"}}
    result["responses"] = _answers(ok)
    for code in _more_codes(operation):
        result["responses"][code] = {"description": _CODES[code], **ok}
    return result
