"""metadata: what the server fills in, keeps and refuses, the same for every kind.

Texts and paths as k8s.io/apimachinery's ObjectMeta validation gives them.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from wherry.aio.clock import Clock, rfc3339
from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field

GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_LENGTH = 5
NAME_LENGTH_MAX = 63
UNQUALIFIED_FINALIZER = "name is neither a standard finalizer name nor is it fully qualified"
ANNOTATIONS_BYTES_MAX = 256 * 1024

_EMPTY_MEANS_ABSENT = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")
_NEVER_STORED = ("selfLink", "clusterName")
_SERVER_OWNED = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")

NameRule = Callable[[str, bool], list[str]]
"""(name, is a prefix) -> what is wrong with it."""


def generate_name(prefix: str, rng: random.Random) -> str:
    """`generateName` and five random characters, 63 together at most."""
    suffix = "".join(rng.choices(GENERATED_ALPHABET, k=GENERATED_LENGTH))
    return prefix[: NAME_LENGTH_MAX - GENERATED_LENGTH] + suffix


def new_uid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def tidy(metadata: Obj) -> None:
    """Drop what is never stored, and what empty means absent (Go's omitempty), in place."""
    for key in _NEVER_STORED:
        metadata.pop(key, None)
    for key in _EMPTY_MEANS_ABSENT:
        if key in metadata and not metadata[key]:
            del metadata[key]


def wipe(metadata: Obj) -> None:
    """Take out what only the server says of a new object, in place: admission does not see what the client made up."""
    tidy(metadata)
    for key in (*_SERVER_OWNED, "uid", "generation", "resourceVersion"):
        metadata.pop(key, None)


def fill_new(metadata: Obj, clock: Clock, rng: random.Random) -> None:
    """What only the server says of a new object, in place; a name when only generateName is given."""
    wipe(metadata)
    if not metadata.get("name"):
        prefix = metadata.get("generateName")
        if prefix:
            metadata["name"] = generate_name(prefix, rng)
        else:
            metadata["name"] = ""  # strategies may read it before validation refuses it
    metadata["uid"] = new_uid(rng)
    metadata["creationTimestamp"] = rfc3339(clock.time())


def keep_on_update(metadata: Obj, old: Obj) -> None:
    """What an update may leave out but not change is filled in from the stored object, in place."""
    tidy(metadata)
    for key in ("uid", *_SERVER_OWNED):
        if metadata.get(key) is None:
            if old.get(key) is None:
                metadata.pop(key, None)
            else:
                metadata[key] = old[key]
    if "generation" in old:
        metadata["generation"] = old["generation"]
    else:
        metadata.pop("generation", None)


def validate(metadata: Obj, namespaced: bool, name_rule: NameRule) -> list[Cause]:
    """Everything about metadata that can be wrong by itself."""
    causes: list[Cause] = []
    prefix, name = metadata.get("generateName"), metadata.get("name")
    if prefix:
        causes += field.each_invalid("metadata.generateName", prefix, name_rule(prefix, True))
    if not name:
        causes.append(field.required("metadata.name", "name or generateName is required"))
    else:
        causes += field.each_invalid("metadata.name", name, name_rule(name, False))
    namespace = metadata.get("namespace")
    if namespaced:
        if not namespace:
            causes.append(field.required("metadata.namespace"))
        else:
            causes += field.each_invalid("metadata.namespace", namespace, names.dns1123_label(namespace))
    elif namespace:
        causes.append(field.forbidden("metadata.namespace", "not allowed on this type"))
    causes += _validate_generation(metadata)
    if "labels" in metadata:
        causes += field.labels(metadata["labels"], "metadata.labels")
    if "annotations" in metadata:
        causes += validate_annotations(metadata["annotations"], "metadata.annotations")
    if "ownerReferences" in metadata:
        causes += _validate_owner_references(metadata["ownerReferences"])
    if "finalizers" in metadata:
        causes += _validate_finalizers(metadata["finalizers"])
    return causes


def _validate_generation(metadata: Obj) -> list[Cause]:
    return field.non_negative(metadata.get("generation"), "metadata.generation")


def validate_annotations(annotations: Obj, path: str) -> list[Cause]:
    """Keys are qualified names in any case; 256 KiB together."""
    causes: list[Cause] = []
    size = 0
    for key, value in annotations.items():
        causes += field.each_invalid(path, key, names.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_BYTES_MAX:
        causes.append(field.too_long(path, ANNOTATIONS_BYTES_MAX))
    return causes


def _validate_owner_references(references: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    path = "metadata.ownerReferences"
    controllers: list[Obj] = []
    for reference in references:
        causes += [
            field.invalid(f"{path}.{key}", reference.get(key, ""), "must not be empty")
            for key in ("apiVersion", "kind", "name", "uid")
            if not reference.get(key)
        ]
        if reference.get("apiVersion") == "v1" and reference.get("kind") == "Event":
            causes.append(field.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            controllers.append(reference)
    if len(controllers) > 1:
        named = [f"{each.get('kind')}/{each.get('name')}" for each in controllers]
        causes.append(
            field.invalid(
                path,
                references,
                'Only one reference can have Controller set to true. Found "true" in references for '
                + " and ".join(named[:2]),
            )
        )
    return causes


def _validate_finalizers(finalizers: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    path = "metadata.finalizers"
    for index, finalizer in enumerate(finalizers):
        causes += field.each_invalid(path, finalizer, names.qualified_name(finalizer))
        if "/" not in finalizer and finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
            causes.append(field.invalid(f"{path}[{index}]", finalizer, UNQUALIFIED_FINALIZER))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        causes.append(field.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))
    return causes


def validate_update(metadata: Obj, old: Obj, namespaced: bool, name_rule: NameRule) -> list[Cause]:
    """`validate` without the name rule (a stored name stays good) and what may not change."""
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        added = [each for each in metadata.get("finalizers", ()) if each not in old.get("finalizers", ())]
        if added:
            listed = ", ".join(field.quote(each) for each in added)
            causes.append(
                field.forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, "
                    f"found new finalizers []string{{{listed}}}",
                )
            )
    for key in ("name", "namespace", "uid", *_SERVER_OWNED):
        causes += _immutable(key, metadata.get(key), old.get(key))
    return validate(metadata, namespaced, lambda _name, _prefix: []) + causes


def repeated(causes: list[Cause], again: bool) -> list[Cause]:
    """The causes of an update as often as Kubernetes gives them: once for all kinds and once for the kind, and where a field
    is judged by itself and as a change, or by the whole object's validation `again`, once more each."""
    if not causes:
        return []
    contents = [cause for cause in causes if cause.field in _JUDGED_TWICE]
    return causes * 2 + contents * (2 if again else 1)


_JUDGED_TWICE = ("metadata.labels", "metadata.annotations", "metadata.ownerReferences")


def _immutable(key: str, new: Any, old: Any) -> list[Cause]:
    return [] if new == old else [field.invalid(f"metadata.{key}", new, field.IMMUTABLE)]
