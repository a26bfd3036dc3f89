"""Secrets: `stringData` merged into `data`, and what each type must hold."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from wherry.api import json, names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill, text
from wherry.apiserver.registry.config_map import BYTES_MAX, decoded_size, frozen
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_MUST_HOLD: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_DOCKER: Mapping[str, str] = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


class SecretStrategy(Strategy):
    checks_metadata_again = True

    def default(self, obj: Obj) -> None:
        written = obj.pop("stringData", None)
        if written:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in written.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}
        fill(obj, type=OPAQUE)

    def validate(self, obj: Obj) -> list[Cause]:
        data = f.as_dict(obj.get("data"))
        causes: list[Cause] = []
        for key in data:
            causes += f.each_invalid(f"data[{key}]", key, names.config_map_key(key))
        if decoded_size(data.values()) > BYTES_MAX:
            causes.append(f.too_long("data", BYTES_MAX))
        return causes + _of_type(obj, data)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj.get("type"), old.get("type"), "type") + frozen(obj, old, ("data",))

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"type": text(obj, "type")}


def _of_type(obj: Obj, data: Obj) -> list[Cause]:
    kind = obj.get("type") or OPAQUE
    if kind == SERVICE_ACCOUNT_TOKEN:
        annotations = f.as_dict(obj["metadata"].get("annotations"))
        at = f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"
        return [] if annotations.get(SERVICE_ACCOUNT_NAME) else [f.required(at)]
    if kind == "kubernetes.io/basic-auth" and not ("username" in data or "password" in data):
        return [f.required("data[username]"), f.required("data[password]")]
    if kind in _DOCKER:
        return _docker(data, _DOCKER[kind])
    if kind == "kubernetes.io/ssh-auth":
        return [] if data.get("ssh-privatekey") else [f.required("data[ssh-privatekey]")]
    return [f.required(f"data[{key}]") for key in _MUST_HOLD.get(kind, ()) if key not in data]


def _docker(data: Obj, key: str) -> list[Cause]:
    if key not in data:
        return [f.required(f"data[{key}]")]
    content = base64.b64decode(data[key])
    try:
        decoded = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return [f.invalid(f"data[{key}]", "<secret contents redacted>", json.syntax_problem(content))]
    if decoded is None or isinstance(decoded, dict):
        return []
    detail = f"json: cannot unmarshal {json.kind_of(decoded)} into Go value of type map[string]interface {{}}"
    return [f.invalid(f"data[{key}]", "<secret contents redacted>", detail)]
