"""Volumes that are files of other objects: keys of ConfigMaps and Secrets, fields of the pod, tokens, certificates; and where
in a volume a file may lie."""

from __future__ import annotations

from collections.abc import Callable

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import env, selectors, signers
from wherry.apiserver.registry.validation import field as f

MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_TEN_MINUTES, _MAX_TOKEN_SECONDS = 600, 1 << 32
_CONFLICT = "conflicting duplicate paths"
_KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")


def keyed(name_key: str) -> Callable[[Obj, str], list[Cause]]:
    """ConfigMap and Secret volumes differ in how they call the object."""

    def rule(source: Obj, path: str) -> list[Cause]:
        causes = [] if source.get(name_key) else [f.required(f"{path}.{name_key}")]
        causes += mode(source.get("defaultMode"), f"{path}.defaultMode")
        return causes + _items(f.as_list(source.get("items")), f"{path}.items")

    return rule


def _items(items: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, item in enumerate(items):
        at = f"{path}[{i}]"
        if not item.get("key"):
            causes.append(f.required(f"{at}.key"))
        if not item.get("path"):
            causes.append(f.required(f"{at}.path"))
        causes += not_reserved(item.get("path") or "", f"{at}.path")
        causes += mode(item.get("mode"), f"{at}.mode")
    return causes


def mode(value: int | None, path: str) -> list[Cause]:
    return [f.invalid(path, value, MODE)] if value is not None and not 0 <= value <= 0o777 else []


def downward(source: Obj, path: str) -> list[Cause]:
    causes = mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in f.as_list(source.get("items")):
        causes += _downward_file(item, path)
    return causes


def _downward_file(item: Obj, path: str) -> list[Cause]:
    causes = [] if item.get("path") else [f.required(f"{path}.path")]
    causes += not_reserved(item.get("path") or "", f"{path}.path")
    if item.get("fieldRef") is not None:
        causes += env.field_ref(item["fieldRef"], env.FILE_FIELDS, f"{path}.fieldRef")
        if item.get("resourceFieldRef") is not None:
            causes.append(
                f.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            )
    elif item.get("resourceFieldRef") is not None:
        causes += env.resource_field_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", in_volume=True)
    else:
        causes.append(f.required(path, "one of fieldRef and resourceFieldRef is required"))
    return causes + mode(item.get("mode"), f"{path}.mode")


def projected(source: Obj, path: str) -> list[Cause]:
    causes = mode(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for i, part in enumerate(f.as_list(source.get("sources"))):
        at = f"{path}.sources[{i}]"
        given = [kind for kind in _PROJECTIONS if part.get(kind) is not None]
        for kind in given:
            value = part[kind]
            causes += _PROJECTIONS[kind](value, f"{at}.{kind}", path)
            causes += _conflicts(kind, value, taken, path)
        if len(given) > 1:
            causes.append(f.forbidden(at, "may not specify more than 1 volume type per source"))
    return causes


def _conflicts(kind: str, value: Obj, taken: set[str], path: str) -> list[Cause]:
    """Two files in one place. Tokens do not look, as in Kubernetes; maps are named in the text, other files by path."""
    if kind == "serviceAccountToken":
        return []
    keyed_source = kind in ("secret", "configMap")
    listed = f.as_list(value.get("items")) if keyed_source or kind == "downwardAPI" else [value]
    keys = ("credentialBundlePath", "keyPath", "certificateChainPath") if kind == "podCertificate" else ("path",)
    causes: list[Cause] = []
    for item in listed:
        for place in filter(None, (item.get(key) for key in keys)):
            if place in taken:
                causes.append(f.invalid(path, value.get("name") or "" if keyed_source else place, _CONFLICT))
            taken.add(place)
    return causes


def _projected_keys(source: Obj, path: str, volume: str) -> list[Cause]:
    causes = [] if source.get("name") else [f.required(f"{path}.name")]
    return causes + _items(f.as_list(source.get("items")), f"{path}.items")


def _projected_fields(source: Obj, path: str, volume: str) -> list[Cause]:
    return [cause for item in f.as_list(source.get("items")) for cause in _downward_file(item, path)]


def _projected_token(source: Obj, path: str, volume: str) -> list[Cause]:
    """What is wrong with its path is said of the volume."""
    seconds = source.get("expirationSeconds") or 0
    causes: list[Cause] = []
    if seconds < _TEN_MINUTES:
        detail = "may not specify a duration less than 10 minutes"
        causes.append(f.invalid(f"{path}.expirationSeconds", seconds, detail))
    if seconds > _MAX_TOKEN_SECONDS:
        detail = "may not specify a duration larger than 2^32 seconds"
        causes.append(f.invalid(f"{path}.expirationSeconds", seconds, detail))
    if not source.get("path"):
        return [*causes, f.required(f"{volume}.path")]
    return causes + not_reserved(source["path"], f"{volume}.path")


def _projected_bundle(source: Obj, path: str, volume: str) -> list[Cause]:
    name, signer = source.get("name"), source.get("signerName")
    causes: list[Cause] = []
    if name is not None and signer is not None:
        causes.append(f.invalid(path, source, "only one of name and signerName may be used"))
    elif name is not None:
        causes += [] if name else [f.required(f"{path}.name", "must be a valid object name")]
        prefix, colon, _ = name.rpartition(":")
        problems = signers.bundle_name(name, prefix.replace(":", "/") if colon else "")
        causes += [f.invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {each}") for each in problems]
        if source.get("labelSelector") is not None:
            detail = "labelSelector must be unset if name is specified"
            causes.append(f.invalid(f"{path}.labelSelector", source["labelSelector"], detail))
    elif signer is not None:
        causes += [] if signer else [f.required(f"{path}.signerName", "must be a valid signer name")]
        causes += signers.signer_name(signer, f"{path}.signerName")
        causes += selectors.label_selector(source.get("labelSelector"), f"{path}.labelSelector")
    else:
        causes.append(f.required(path, "either name or signerName must be specified"))
    if not source.get("path"):
        causes.append(f.required(f"{path}.path"))
    return causes + not_reserved(source.get("path") or "", f"{path}.path")


def _projected_certificate(source: Obj, path: str, volume: str) -> list[Cause]:
    causes = signers.signer_name(source.get("signerName") or "", f"{path}.signerName")
    kind = source.get("keyType") or ""
    if kind not in _KEY_TYPES:
        causes.append(f.not_supported(f"{path}.keyType", kind, _KEY_TYPES))
    places = ("credentialBundlePath", "keyPath", "certificateChainPath")
    if not any(source.get(key) for key in places):
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        causes.append(f.required(path, detail))
    for key in places:
        if source.get(key):
            causes += not_reserved(source[key], f"{path}.{key}")
    return causes


_PROJECTIONS = {
    "secret": _projected_keys,
    "configMap": _projected_keys,
    "downwardAPI": _projected_fields,
    "serviceAccountToken": _projected_token,
    "clusterTrustBundle": _projected_bundle,
    "podCertificate": _projected_certificate,
}


def no_backsteps(value: str, path: str) -> list[Cause]:
    return [f.invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def descending(value: str, path: str) -> list[Cause]:
    """A relative path that never leaves its root."""
    causes = [f.invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    return causes + no_backsteps(value, path)


def not_reserved(value: str, path: str) -> list[Cause]:
    """`descending`, and no name that begins with two dots, which volumes keep for themselves."""
    causes = descending(value, path)
    if value.startswith("..") and not value.startswith("../"):
        causes.append(f.invalid(path, value, "must not start with '..'"))
    return causes
