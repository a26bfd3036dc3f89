"""What is wrong with a CustomResourceDefinition: names, versions, columns, subresources, conversion. Schemas: schema_rules.

Kubernetes looks at a definition whose versions all say the same thing as if it were said once, and names the field that way:
`spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`, `spec.selectableFields`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions import naming, paths, schema_rules
from wherry.apiserver.registry.validation import field
from wherry.apiserver.registry.validation.webhook_client import client_config

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_PATH_START: Final = re.compile(r"\.[^.\[]")
_SELECTABLE: Final = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)
SELECTABLE_MAX: Final = 8
WARNING_BYTES_MAX: Final = 256
_SEE: Final = "see https://github.com/kubernetes/enhancements/pull/1111"


def definition(obj: Obj, old: Obj | None = None) -> list[Cause]:
    """Everything but what may not change; `old` is what is stored, whose schemas count as checked."""
    spec = obj["spec"]
    said = spec.get("names") or {}
    causes: list[Cause] = []
    name = obj["metadata"].get("name", "")
    if old is None and name and name != f"{said.get('plural', '')}.{spec.get('group', '')}":
        causes.append(field.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    causes += _group_and_scope(spec)
    causes += _versions(spec)
    causes += _names(said, "spec.names", needed=True)
    causes += _per_version(spec, (old or {}).get("spec"))
    causes += _conversion(spec)
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        causes.append(field.invalid("spec.preserveUnknownFields", True, detail))
    return causes + status(obj)


def changes(obj: Obj, old: Obj) -> list[Cause]:
    """What an update may not change."""
    spec, before = obj["spec"], old["spec"]
    causes: list[Cause] = []
    if naming.is_true(old, "Established"):
        causes += field.unchanged(spec.get("scope"), before.get("scope"), "spec.scope")
        causes += field.unchanged(spec["names"].get("kind"), before["names"].get("kind"), "spec.names.kind")
    causes += field.unchanged(spec.get("group"), before.get("group"), "spec.group")
    return causes + field.unchanged(spec["names"].get("plural"), before["names"].get("plural"), "spec.names.plural")


def approval(obj: Obj, old: Obj | None) -> list[Cause]:
    """The annotation of protected groups; what is stored with the same annotation stays fine."""
    group = obj["spec"].get("group", "")
    if not naming.is_protected(group) or (old is not None and naming.approval(old) == naming.approval(obj)):
        return []
    path = f"metadata.annotations[{naming.APPROVAL}]"
    state, text = naming.approval(obj)
    must = f"protected groups must have approval annotation {field.quote(naming.APPROVAL)}"
    if state == "missing":
        return [field.required(path, f"{must}, {_SEE}")]
    if state == "invalid":
        detail = f'{must} with either a URL or a reason starting with "unapproved", {_SEE}'
        return [field.invalid(path, text, detail)]
    return []


def status(obj: Obj) -> list[Cause]:
    """Stored versions and accepted names."""
    found = obj.get("status") or {}
    stored: list[str] = found.get("storedVersions") or []
    causes = _names(found.get("acceptedNames") or {}, "status.acceptedNames", needed=False)
    path = "status.storedVersions"
    versions = obj["spec"].get("versions") or []
    if not stored:
        causes.append(field.invalid(path, None, "must have at least one stored version"))
        return causes
    known = {each.get("name") for each in versions}
    for index, version in enumerate(stored):
        if version not in known:
            detail = (
                f"missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions "
                f"until a storage migration ensures no data remains persisted in {version} and removes {version} from "
                "status.storedVersions"
            )
            causes.append(field.invalid(f"{path}[{index}]", version, detail))
    storage = [each.get("name") for each in versions if each.get("storage")]
    causes += [
        field.invalid(path, stored, f"must have the storage version {each}") for each in storage if each not in stored
    ]
    return causes


def _group_and_scope(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    group, scope = spec.get("group") or "", spec.get("scope") or ""
    if not group:
        causes.append(field.required("spec.group"))
    elif problems := names.dns1123_subdomain(group):
        causes.append(field.invalid("spec.group", group, ",".join(problems)))
    elif "." not in group:
        causes.append(field.invalid("spec.group", group, "should be a domain with at least one dot"))
    return causes + field.one_of(scope, "spec.scope", ("Cluster", "Namespaced"), need=True)


def _versions(spec: Obj) -> list[Cause]:
    versions = spec.get("versions") or []
    causes: list[Cause] = []
    for index, version in enumerate(versions):
        problems = names.dns1035_label(version.get("name") or "")
        if problems:
            causes.append(field.invalid(f"spec.versions[{index}].name", version.get("name", ""), ",".join(problems)))
        causes += _deprecation(version, f"spec.versions[{index}].deprecationWarning")
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            causes.append(field.required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    said = [version.get("name") for version in versions]
    shown = [_go_version(version) for version in versions]
    if len(set(said)) < len(said):
        causes.append(field.invalid("spec.versions", shown, "must contain unique version names"))
    if sum(1 for version in versions if version.get("storage")) != 1:
        causes.append(field.invalid("spec.versions", shown, "must have exactly one version marked as storage version"))
    if versions and (problems := names.dns1035_label(versions[0].get("name") or "")):
        causes.append(field.invalid("spec.version", versions[0].get("name", ""), ",".join(problems)))
    return causes


def _go_version(version: Obj) -> Obj:
    """A version as Kubernetes shows it in errors: its internal form, without what all versions share."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None,
        "Subresources": None,
        "AdditionalPrinterColumns": None,
        "SelectableFields": None,
    }


def _deprecation(version: Obj, path: str) -> list[Cause]:
    text = version.get("deprecationWarning")
    if text is None:
        return []
    if not version.get("deprecated"):
        return [field.invalid(path, text, "can only be set for deprecated versions")]
    if len(text.encode()) > WARNING_BYTES_MAX:
        return [field.invalid(path, text, f"must be <= {WARNING_BYTES_MAX} characters long")]
    if not text:
        return [field.invalid(path, text, "must not be an empty string")]
    for index, character in enumerate(text):
        if not character.isprintable():
            detail = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            return [field.invalid(path, text, detail)]
    return []


def _names(said: Obj, path: str, needed: bool) -> list[Cause]:
    causes = [
        field.required(f"{path}.{key}")
        for key in ("plural", "singular", "kind", "listKind")
        if needed and not said.get(key)
    ]
    causes += [
        field.invalid(f"{path}.{key}", said[key], ",".join(problems))
        for key in ("plural", "singular")
        if said.get(key) and (problems := names.dns1035_label(said[key]))
    ]
    for key in ("kind", "listKind"):
        if said.get(key) and (problems := names.dns1035_label(said[key].lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(problems)}"
            causes.append(field.invalid(f"{path}.{key}", said[key], detail))
    if said.get("kind") and said["kind"] == said.get("listKind"):
        causes.append(field.invalid(f"{path}.listKind", said["listKind"], "kind and listKind may not be the same"))
    for key in ("shortNames", "categories"):
        for index, name in enumerate(said.get(key) or ()):
            if problems := names.dns1035_label(name):
                causes.append(field.invalid(f"{path}.{key}[{index}]", name, ",".join(problems)))
    return causes


def _per_version(spec: Obj, old: Obj | None) -> list[Cause]:
    """Schemas, subresources, columns and selectable fields; said once where all versions say the same."""
    versions = spec.get("versions") or []
    before = {each.get("name"): each for each in (old or {}).get("versions") or ()}
    causes: list[Cause] = []

    def each(key: str, top: str, check: Callable[[Any, str, Obj], list[Cause]]) -> None:
        values = [version.get(key) for version in versions]
        if values and all(value == values[0] for value in values):
            if values[0] and not _unchanged(versions[0], before, key):
                causes.extend(check(values[0], top, versions[0]))
            return
        for index, version in enumerate(versions):
            if version.get(key) and not _unchanged(version, before, key):
                causes.extend(check(version[key], f"spec.versions[{index}].{key}", version))

    each("schema", "spec.validation", _schema)
    each("subresources", "spec.subresources", _subresources)
    each("additionalPrinterColumns", "spec.additionalPrinterColumns", _columns)
    each("selectableFields", "spec.selectableFields", _selectable)
    return causes


def _unchanged(version: Obj, before: dict[Any, Obj], key: str) -> bool:
    """What is stored was checked when it came, perhaps by older rules."""
    was = before.get(version.get("name"))
    return was is not None and was.get(key) == version.get(key) and was.get("schema") == version.get("schema")


def _schema(value: Obj, path: str, version: Obj) -> list[Cause]:
    schema = value.get("openAPIV3Schema")
    return schema_rules.schema(schema, f"{path}.openAPIV3Schema") if schema else []


def _subresources(value: Obj, path: str, version: Obj) -> list[Cause]:
    scale = value.get("scale")
    if scale is None:
        return []
    causes: list[Cause] = []
    for key, roots, need in (
        ("specReplicasPath", (".spec",), True),
        ("statusReplicasPath", (".status",), True),
        ("labelSelectorPath", (".spec", ".status"), False),
    ):
        text, at = scale.get(key) or "", f"{path}.scale.{key}"
        if not text:
            causes += [field.required(at)] if need else []
        elif not _is_plain(text):
            under = roots[0] if len(roots) == 1 else "either .spec or .status"
            causes.append(field.invalid(at, text, f"should be a simple json path under {under}"))
        elif not text.startswith(tuple(f"{root}." for root in roots)):
            under = roots[0] if len(roots) == 1 else "either .status or .spec"
            causes.append(field.invalid(at, text, f"should be a json path under {under}"))
    return causes


def _is_plain(text: str) -> bool:
    try:
        return text.startswith(".") and bool(paths.names_of(text))
    except paths.PathError:
        return False


def _columns(value: list[Obj], path: str, version: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for index, column in enumerate(value):
        at = f"{path}[{index}]"
        if not column.get("name"):
            causes.append(field.required(f"{at}.name"))
        type, form, where = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
        if not type:
            causes.append(field.required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif type not in _COLUMN_TYPES:
            causes.append(field.invalid(f"{at}.type", type, f"must be one of {','.join(_COLUMN_TYPES)}"))
        if form and form not in _COLUMN_FORMATS:
            causes.append(field.invalid(f"{at}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        if not where:
            causes.append(field.required(f"{at}.JSONPath"))
        elif not _PATH_START.match(where):
            causes.append(field.invalid(f"{at}.JSONPath", where, "must be a simple json path starting with ."))
    return causes


def _selectable(value: list[Obj], path: str, version: Obj) -> list[Cause]:
    """Scalar fields that the schema names, each once."""
    causes: list[Cause] = []
    seen: set[str] = set()
    root = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    for index, each in enumerate(value):
        text, at = each.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not text:
            causes.append(field.required(at))
            continue
        problem = _selectable_problem(text, root)
        if problem:
            causes.append(field.invalid(at, text, problem))
        elif text in seen:
            causes.append(field.duplicate(at, text))
        seen.add(text)
    if len(value) > SELECTABLE_MAX:
        causes.append(field.too_many(path, len(value), SELECTABLE_MAX))
    return causes


def _selectable_problem(text: str, root: Obj) -> str:
    try:
        way = paths.names_of(text) if text.startswith(".") else ()
    except paths.PathError:
        way = ()
    if not way:
        return "is an invalid path: must be a simple json path starting with ."
    if way[0] == "metadata":
        return "must not point to fields in metadata"
    schema: Any = root
    for name in way:
        schema = (schema.get("properties") or {}).get(name)
        if schema is None:
            return "is an invalid path: does not refer to a valid field"
    if schema.get("type") not in ("string", "boolean", "integer"):
        return _SELECTABLE
    return ""


def _conversion(spec: Obj) -> list[Cause]:
    conversion, path = spec.get("conversion") or {}, "spec.conversion"
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if not strategy:
        return [field.required(f"{path}.strategy")]
    if strategy not in ("None", "Webhook"):
        return [field.not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))]
    if strategy == "None":
        if webhook is not None:
            return [field.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")]
        return []
    config = (webhook or {}).get("clientConfig")
    causes: list[Cause] = []
    if config is None:
        causes.append(field.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook"))
    else:
        causes += client_config(config, f"{path}.webhookClientConfig")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    if not versions:
        return [*causes, field.required(f"{path}.conversionReviewVersions")]
    for index, version in enumerate(versions):
        if versions.index(version) < index:
            causes.append(field.invalid(f"{path}.conversionReviewVersions[{index}]", version, "duplicate version"))
        causes += [
            field.invalid(f"{path}.conversionReviewVersions[{index}]", version, problem)
            for problem in names.dns1035_label(version)
        ]
    if not any(version in ("v1", "v1beta1") for version in versions):
        detail = "must include at least one of v1, v1beta1"
        causes.append(field.invalid(f"{path}.conversionReviewVersions", versions, detail))
    return causes
