"""What files a configMap, secret, downwardAPI or projected volume holds. Pure: objects in, files out.

`references` says which objects are needed; `build` makes the files of them. Errors are kubelet's texts as ValueError.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from msgspec import Struct

from wherry.api.resources import CONFIG_MAPS, SECRETS
from wherry.api.types import GVR, Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.downward import NodeFacts, field_value, resource_value
from wherry.kubelet.volumes.atomic_writer import File

DEFAULT_MODE = 0o644
SUPPORTED_PROJECTIONS = ("configMap", "secret", "downwardAPI", "serviceAccountToken")

Source = tuple[GVR, str]


class Token(Struct, frozen=True):
    """A serviceAccountToken projection; `key` of the `tokens` given to `build`."""

    audience: str
    expiration_seconds: int


class Ingredients(Struct, frozen=True):
    """Everything files are made of; an object that does not exist is None."""

    pod: Obj
    node: NodeFacts
    pod_address: str
    objects: Mapping[Source, Obj | None]
    tokens: Mapping[Token, str]


def is_live(volume: Obj) -> bool:
    return any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected"))


def references(volume: Obj) -> set[Source]:
    """ConfigMaps and Secrets a volume needs."""
    if "configMap" in volume:
        return {(CONFIG_MAPS, volume["configMap"].get("name", ""))}
    if "secret" in volume:
        return {(SECRETS, volume["secret"].get("secretName", ""))}
    found: set[Source] = set()
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("configMap"):
            found.add((CONFIG_MAPS, source["configMap"].get("name", "")))
        if source.get("secret"):
            found.add((SECRETS, source["secret"].get("name", "")))
    return found


def tokens(volume: Obj) -> set[Token]:
    sources = (volume.get("projected") or {}).get("sources") or ()
    return {_token(source["serviceAccountToken"]) for source in sources if source.get("serviceAccountToken")}


def _token(projection: Obj) -> Token:
    return Token(projection.get("audience") or "", int(projection.get("expirationSeconds") or 3600))


def unsupported(volume: Obj) -> list[str]:
    """Projection sources that are not served."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return sorted({kind for source in sources for kind in source if kind not in SUPPORTED_PROJECTIONS})


def build(volume: Obj, given: Ingredients) -> dict[str, File]:
    """Path in the volume -> file. Raises ValueError with kubelet's text."""
    if "configMap" in volume:
        source = volume["configMap"]
        return _keys(CONFIG_MAPS, source.get("name", ""), source, _mode(source), given)
    if "secret" in volume:
        source = volume["secret"]
        return _keys(SECRETS, source.get("secretName", ""), source, _mode(source), given)
    if "downwardAPI" in volume:
        return _downward(volume["downwardAPI"], _mode(volume["downwardAPI"]), given)
    return _projected(volume["projected"], given)


def _projected(projected: Obj, given: Ingredients) -> dict[str, File]:
    mode, files, errors = _mode(projected), {}, []
    for source in projected.get("sources") or ():
        try:
            if source.get("configMap"):
                files.update(_keys(CONFIG_MAPS, source["configMap"].get("name", ""), source["configMap"], mode, given))
            elif source.get("secret"):
                files.update(_keys(SECRETS, source["secret"].get("name", ""), source["secret"], mode, given))
            elif source.get("downwardAPI"):
                files.update(_downward(source["downwardAPI"], mode, given))
            elif source.get("serviceAccountToken"):
                token = source["serviceAccountToken"]
                files[token["path"]] = File(given.tokens[_token(token)].encode(), _token_mode(given.pod, mode))
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ValueError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return files


def _mode(source: Obj) -> int:
    mode = source.get("defaultMode")
    return int(mode) if mode is not None else DEFAULT_MODE


def _token_mode(pod: Obj, mode: int) -> int:
    """0600 when the token can be given to the one user who runs the pod (owner or fsGroup), else the volume's mode."""
    has_group = (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
    return 0o600 if has_group or common_user(pod) is not None else mode


def common_user(pod: Obj) -> int | None:
    """The runAsUser of every container, if they agree on one."""
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (container.get("securityContext") or {}).get("runAsUser", of_pod) for container in pod_spec.all_containers(pod)
    }
    only = users.pop() if len(users) == 1 else None
    return int(only) if only is not None else None


def _keys(gvr: GVR, name: str, source: Obj, mode: int, given: Ingredients) -> dict[str, File]:
    noun, optional = ("configmap" if gvr == CONFIG_MAPS else "secret"), bool(source.get("optional"))
    found = given.objects.get((gvr, name))
    if found is None:
        if optional:
            return {}
        raise ValueError(f'{noun} "{name}" not found')
    values = contents(gvr, found)
    items = source.get("items")
    if not items:
        return {key: File(value, mode) for key, value in values.items()}
    files: dict[str, File] = {}
    for item in items:
        if item["key"] not in values:
            if optional:
                continue
            label = "config" if gvr == CONFIG_MAPS else "secret"
            raise ValueError(f"{noun} references non-existent {label} key: {item['key']}")
        files[item["path"]] = File(values[item["key"]], int(item["mode"]) if item.get("mode") is not None else mode)
    return files


def contents(gvr: GVR, obj: Obj) -> dict[str, bytes]:
    """Keys and bytes of a ConfigMap (data and binaryData) or a Secret."""
    if gvr == CONFIG_MAPS:
        texts = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
        return {**texts, **{key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}}
    return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}


def _downward(source: Obj, mode: int, given: Ingredients) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in source.get("items") or ():
        if item.get("fieldRef"):
            text = field_value(given.pod, item["fieldRef"]["fieldPath"], given.node, given.pod_address)
        else:
            text = resource_value(given.pod, item["resourceFieldRef"], {}, given.node)
        files[item["path"]] = File(text.encode(), int(item["mode"]) if item.get("mode") is not None else mode)
    return files
