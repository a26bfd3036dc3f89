"""Pod and container security contexts merged into what the runtime is told. Pure but for the image's passwd file.

The container's fields win over the pod's; both win over the image. Error texts are kubelet's.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.api.types import Obj
from wherry.images.rootfs import Image
from wherry.kubelet import pod_spec, users
from wherry.kubelet.failures import StartFailure

CONFIG_ERROR = "CreateContainerConfigError"


class Identity(Struct, frozen=True):
    """CRI's security context of one container."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    privileged: bool
    readonly_rootfs: bool
    no_new_privileges: bool
    add_capabilities: tuple[str, ...]
    drop_capabilities: tuple[str, ...]


def effective(pod: Obj, container: Obj) -> Obj:
    """The container's security context with what the pod's gives it."""
    inherited = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile")
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    merged = {key: of_pod[key] for key in inherited if of_pod.get(key) is not None}
    return {**merged, **{key: value for key, value in own.items() if value is not None}}


def identity(pod: Obj, container: Obj, image: Image) -> Identity:
    """Who and what a container is. Raises StartFailure(CreateContainerConfigError)."""
    context = effective(pod, container)
    image_user = str(image.config.get("User") or "")
    _check_non_root(pod, container, context, image_user)
    try:
        found = users.find_user(image.rootfs, image_user)
    except users.UnknownUser as error:
        if context.get("runAsUser") is None:
            raise StartFailure("CreateContainerError", str(error)) from error
        found = users.User(int(context["runAsUser"]), 0)
    uid, gid, groups, home = found.uid, found.gid, found.groups, found.home
    if context.get("runAsUser") is not None:
        uid = int(context["runAsUser"])
        # runAsUser without runAsGroup: the primary group is 0, or what the image's passwd says of that user.
        named = users.find_user(image.rootfs, str(uid))
        gid, home, groups = named.gid, users.home_of(image.rootfs, uid), named.groups
    if context.get("runAsGroup") is not None:
        gid = int(context["runAsGroup"])
    of_pod = pod["spec"].get("securityContext") or {}
    extra = tuple(int(group) for group in of_pod.get("supplementalGroups") or ())
    if of_pod.get("fsGroup") is not None:
        extra += (int(of_pod["fsGroup"]),)
    if of_pod.get("supplementalGroupsPolicy") == "Strict":
        groups = ()
    capabilities = context.get("capabilities") or {}
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys((*groups, *extra))),
        home=home,
        privileged=bool(context.get("privileged")),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        no_new_privileges=context.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
    )


def _check_non_root(pod: Obj, container: Obj, context: Obj, image_user: str) -> None:
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{pod_spec.full_name(pod)}", container: {container["name"]})'
    if context.get("runAsUser") is not None:
        if context["runAsUser"] == 0:
            raise StartFailure(CONFIG_ERROR, f"container's runAsUser breaks non-root policy {where}")
        return
    name = image_user.partition(":")[0]
    if name in ("", "0", "root"):
        raise StartFailure(CONFIG_ERROR, f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdigit():
        text = f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        raise StartFailure(CONFIG_ERROR, f"{text} {where}")
