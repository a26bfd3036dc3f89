"""The scale subresource: autoscaling/v1 Scale as a view of spec.replicas, status.replicas and the selector."""

from __future__ import annotations

from wherry.api import labels
from wherry.api.errors import StatusError, bad_request, conflict, invalid
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.apply.entries import entries_of, put
from wherry.apiserver.apply.field_manager import SETTLED, manager_of
from wherry.apiserver.apply.scaling import REPLICAS, SCALE_VERSION, field_path, to_object, to_scale
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions import paths
from wherry.apiserver.handlers import apply as applying
from wherry.apiserver.handlers import patch as patching
from wherry.apiserver.handlers.update import check_name
from wherry.apiserver.http import Answer
from wherry.apiserver.negotiation import content_media
from wherry.apiserver.options import WriteOptions, write_options
from wherry.apiserver.registry.validation import field
from wherry.apiserver.respond import answer

_KEPT_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Obj, explicit: bool = False) -> Obj:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController. No replicas are left out, as Go leaves
    out zeros, unless `explicit` asks for them (a patch may replace them)."""
    selector = (obj.get("spec") or {}).get("selector")
    if selector is not None and not ("matchLabels" in selector or "matchExpressions" in selector):
        text = str(labels.Selector.from_labels(selector))  # ReplicationController: a plain map
    else:
        text = str(labels.Selector.from_object(selector))
    replicas = (obj.get("spec") or {}).get("replicas", 1)
    status: Obj = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    if text:
        status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _KEPT_METADATA if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas or explicit else {},
        "status": status,
    }


def custom_scale_of(obj: Obj, where: tuple[str, str, str]) -> Obj:
    """The Scale of a custom resource, whose definition says where its parts are. Raises 404 where there are no replicas."""
    replicas, actual = paths.get(obj, where[0]), paths.get(obj, where[1])
    if not isinstance(replicas, int):
        raise StatusError(404, "NotFound", f"the spec replicas field {field.quote(where[0])} does not exist")
    status: Obj = {"replicas": actual if isinstance(actual, int) else 0}
    selector = paths.get(obj, where[2]) if where[2] else None
    if selector:
        status["selector"] = selector
    metadata = {key: obj["metadata"][key] for key in _KEPT_METADATA if key in obj["metadata"]}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": status,
    }


def _view(call: Call, obj: Obj, explicit: bool = False) -> Obj:
    where = call.served.scale
    return scale_of(obj, explicit) if where is None else custom_scale_of(obj, where)


async def get(core: Core, call: Call) -> Answer:
    if call.served.codec is not None:
        await call.served.codec.warm(call.registry.key(call.info.namespace, call.info.name))
    entry = call.registry.get(call.info.namespace, call.info.name)
    return answer(call, _view(call, entry.value))


async def update(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "UpdateOptions")
    scale = decode.read_object(core, call, options.field_validation)
    check_name(call, scale["metadata"])
    return await _write(core, call, lambda _: scale, options)


async def patch(core: Core, call: Call) -> Answer:
    media = content_media(call.request.headers)
    options = write_options(call.request, "PatchOptions", media == patching.APPLY_PATCH)
    if media == patching.APPLY_PATCH:
        return await _apply(core, call, options)
    sent, apply, duplicates, said = patching.reader(core, call, media, options.field_validation)
    shown = sent if media == patching.STRATEGIC_PATCH else None

    def change(current: Obj) -> Obj:
        validation = options.field_validation
        scale = decode.settle_patched(core, call, apply(current), validation, duplicates, shown, said=said)
        check_name(call, scale["metadata"])
        return scale

    return await _write(core, call, change, options)


async def _apply(core: Core, call: Call, options: WriteOptions) -> Answer:
    """A Scale is never made: without the object there is none."""
    configuration, complaint = applying.read(call)
    applying.check_version(configuration, "Scale", SCALE_VERSION)
    owners = core.field_managers.scale_by_apply(options.field_manager, options.force)
    owners.check(configuration)

    def merge(current: Obj) -> Obj:
        made = owners.merge(current, configuration)
        applying.complain(call, complaint, options.field_validation)
        scale = decode.settle_patched(core, call, made.obj if made.obj is not None else current, "Ignore", [])
        check_name(call, scale["metadata"])
        put(scale["metadata"], made.entries)
        return scale

    return await _write(core, call, merge, options)


async def _write(core: Core, call: Call, change: patching.Apply, options: WriteOptions) -> Answer:
    """Take the replicas of the Scale that `change` makes of the current one, and who owns them."""
    agent = call.request.headers.get("user-agent", "")
    owners = core.field_managers.scale_by_update(manager_of(options.field_manager, agent))
    is_apply = content_media(call.request.headers) == patching.APPLY_PATCH
    path = REPLICAS if call.served.scale is None else field_path(call.served.scale[0])

    def resize(current: Obj) -> Obj:
        before = _view(call, current, explicit=True)
        put(before["metadata"], to_scale(entries_of(current), path))
        scale = change(before)
        if not is_apply:
            owners.own(scale, before)
        _check(call, scale, current)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        where = call.served.scale
        if replicas < 0 and where is None:
            problem = field.invalid("spec.replicas", replicas, field.NON_NEGATIVE)
            raise invalid("Scale", "autoscaling", call.info.name, [problem])
        obj: Obj = draft(current)
        paths.put(obj, ".spec.replicas" if where is None else where[0], replicas)
        version = scale["metadata"].get("resourceVersion")
        obj["metadata"]["resourceVersion"] = version or current["metadata"]["resourceVersion"]
        put(obj["metadata"], to_object(entries_of(current), entries_of(scale), call.resource.api_version, path))
        return obj

    write = core.write(call, options.dry_run)
    write.owners = SETTLED
    result = await call.registry.update(call.info.namespace, call.info.name, resize, write)
    return answer(call, _view(call, result.value))


def _check(call: Call, scale: Obj, current: Obj) -> None:
    metadata = scale["metadata"]
    if metadata.get("namespace") not in (None, "", current["metadata"].get("namespace")):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    uid = metadata.get("uid")
    if uid and uid != current["metadata"]["uid"]:
        resource = call.registry.resource
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current['metadata']['uid']}"
        raise conflict(resource.resource, call.info.name, why, resource.group)
