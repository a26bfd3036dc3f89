"""Who controls whom: the controllerRef, and how objects that match a selector are adopted or released.

An object has at most one owner with `controller: true`; that owner alone manages it. A selector only says what an owner
may adopt. Deciding is pure (`claim`); `perform_claims` writes, through the API, what was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from wherry.api.errors import is_not_found
from wherry.api.labels import Selector
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client


def controller_ref(owner: Obj, *, block: bool = True) -> Obj:
    """The ownerReference with which `owner` controls what it creates."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": block,
    }


def controller_of(obj: Obj) -> Obj | None:
    """The ownerReference of the object's controller."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return ref  # type: ignore[no-any-return]
    return None


def controller_uid(obj: Obj) -> str:
    """The uid of the object's controller, "" for orphans: what informers index by."""
    ref = controller_of(obj)
    return ref["uid"] if ref is not None else ""


def owner_in(owners: Informer, kind: str, obj: Obj) -> Obj | None:
    """The one of `owners`, which are of `kind`, that controls `obj`; None if it is another one of that name."""
    ref = controller_of(obj)
    if ref is None or ref["kind"] != kind:
        return None
    owner = owners.get(ref["name"], obj["metadata"]["namespace"])
    return owner if owner is not None and owner["metadata"]["uid"] == ref["uid"] else None


OWNER_INDEX = "controller"


def _owner_keys(obj: Obj) -> list[str]:
    metadata = obj["metadata"]
    uid = controller_uid(obj)
    return [uid] if uid else [f"orphan:{metadata.get('namespace', '')}"]


def index_by_owner(informer: Informer) -> None:
    """Let `informer.by_index(OWNER_INDEX, uid)` find what an owner controls; asked for twice it is there once."""
    informer.add_index(OWNER_INDEX, _owner_keys)


def children(informer: Informer, owner: Obj) -> list[Obj]:
    """What `owner` controls, and what nobody controls in its namespace: the candidates for `claim`."""
    return [*informer.by_index(OWNER_INDEX, owner["metadata"]["uid"]), *orphans(informer, owner)]


def orphans(informer: Informer, owner: Obj) -> list[Obj]:
    """What nobody controls in the namespace of `owner`."""
    return informer.by_index(OWNER_INDEX, f"orphan:{owner['metadata'].get('namespace', '')}")


class Claims(Struct, frozen=True):
    """What belongs to an owner, what it should take, what it should let go."""

    owned: list[Obj]
    adopt: list[Obj]
    release: list[Obj]


def claim(owner: Obj, selector: Selector, candidates: Iterable[Obj]) -> Claims:
    """Sort `candidates` of the owner's namespace.

    Owned and matching: kept. Owned, no longer matching: released. Orphaned and matching: adopted, unless it or the
    owner is being deleted. Controlled by another: left alone.
    """
    uid = owner["metadata"]["uid"]
    deleting = "deletionTimestamp" in owner["metadata"]
    claims = Claims([], [], [])
    for obj in candidates:
        metadata = obj["metadata"]
        holder = controller_uid(obj)
        matches = selector.matches(metadata.get("labels") or {})
        if holder == uid:
            if matches or deleting:
                claims.owned.append(obj)
            else:
                claims.release.append(obj)
        elif not holder and matches and not deleting and "deletionTimestamp" not in metadata:
            claims.adopt.append(obj)
    return claims


def adoption_patch(owner: Obj, obj: Obj) -> Obj:
    """A strategic merge patch; the uid in it makes it fail if the object was replaced by another of that name."""
    return {"metadata": {"uid": obj["metadata"]["uid"], "ownerReferences": [controller_ref(owner)]}}


def release_patch(owner: Obj, obj: Obj) -> Obj:
    """A strategic merge patch that takes exactly our reference out of the list."""
    gone = {"$patch": "delete", "uid": owner["metadata"]["uid"]}
    return {"metadata": {"uid": obj["metadata"]["uid"], "ownerReferences": [gone]}}


def adopters(owners: Iterable[Obj], orphan: Obj) -> list[Obj]:
    """Those of `owners`, all of the orphan's namespace, whose selector means it: any of them may adopt it."""
    labels = orphan["metadata"].get("labels") or {}
    return [owner for owner in owners if Selector.from_object(owner["spec"].get("selector")).matches(labels)]


def concerned(owners: Informer, kind: str, type: str, obj: Obj, old: Obj | None) -> list[Obj]:
    """Those of `owners`, which are of `kind`, for which a watch event of `obj` is news: who controls it, who did before,
    and whoever may adopt an orphan."""
    result = []
    if old is not None and controller_uid(old) != controller_uid(obj):
        result.append(owner_in(owners, kind, old))
    if controller_of(obj) is not None:
        result.append(owner_in(owners, kind, obj))
    elif type != "deleted":
        result += adopters(owners.list(obj["metadata"].get("namespace")), obj)
    return [owner for owner in result if owner is not None]


async def claim_children(
    client: Client,
    owner_gvr: GVR,
    owner: Obj,
    gvr: GVR,
    informer: Informer,
    *,
    adoptable: Callable[[Obj], bool] = lambda obj: True,
) -> list[Obj]:
    """Everything of `gvr` the owner controls, once what its selector means is adopted and what it no longer means let go.

    What is not `adoptable` is kept if it is the owner's already. `informer` is indexed by owner.
    """
    claims = claim(owner, Selector.from_object(owner["spec"].get("selector")), children(informer, owner))
    claims.adopt[:] = [obj for obj in claims.adopt if adoptable(obj)]
    return await perform_claims(client, owner_gvr, owner, gvr, claims)


async def perform_claims(client: Client, owner_gvr: GVR, owner: Obj, gvr: GVR, claims: Claims) -> list[Obj]:
    """Write adoptions and releases; returns everything the owner now controls.

    Adoption asks the API first whether the owner still lives: an informer that lags must not let a deleted owner
    take children that nobody would then collect.
    """
    owned = list(claims.owned)
    for obj in claims.release:
        await _patch_if_there(client, gvr, obj, release_patch(owner, obj))
    if claims.adopt and await _still_lives(client, owner_gvr, owner):
        for obj in claims.adopt:
            adopted = await _patch_if_there(client, gvr, obj, adoption_patch(owner, obj))
            if adopted is not None:
                owned.append(adopted)
    return owned


async def _still_lives(client: Client, gvr: GVR, owner: Obj) -> bool:
    metadata = owner["metadata"]
    try:
        live = (await client.get(gvr, metadata["name"], metadata.get("namespace")))["metadata"]
    except Exception as error:
        if is_not_found(error):
            return False
        raise
    return bool(live["uid"] == metadata["uid"]) and "deletionTimestamp" not in live


async def _patch_if_there(client: Client, gvr: GVR, obj: Obj, patch: Obj) -> Obj | None:
    metadata = obj["metadata"]
    try:
        return await client.patch(gvr, metadata["name"], patch, metadata.get("namespace"), type="strategic")
    except Exception as error:
        if is_not_found(error):
            return None
        raise
