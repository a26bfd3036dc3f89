"""Images of containers: present, pulled, or waited for, with kubelet's events and back-off.

`begin` starts fetching early, beside the sandbox; `ensure` gives the image or raises the `StartFailure` that says why not.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.resources import SECRETS
from wherry.api.types import Obj
from wherry.cri.interface import ImageService, RegistryAuth, RuntimeFailure
from wherry.images.rootfs import Image
from wherry.kubelet import pod_spec
from wherry.kubelet.backoff import Backoff, go_duration
from wherry.kubelet.events import PodEvents
from wherry.kubelet.failures import MissingObject, StartFailure
from wherry.kubelet.objects import Objects

ERROR_SHOWN_SECONDS = 2.0
"""How long ErrImagePull stands before it becomes ImagePullBackOff (kubelet: until its next look at the pod)."""
LOOK_SECONDS = 10.0
"""How often it is asked during a back-off whether the image is there meanwhile, built or loaded (kubelet's workers: 10 to 15)."""


class Images:
    def __init__(self, service: ImageService, objects: Objects, events: PodEvents, clock: Clock) -> None:
        self._service = service
        self._objects = objects
        self._events = events
        self._clock = clock
        self._backoff = Backoff()
        self._errors: dict[tuple[str, str], str] = {}
        self._flights: dict[tuple[str, str, str], asyncio.Task[Image]] = {}

    def begin(self, pod: Obj, container: Obj) -> None:
        """Fetch now; whoever calls `ensure` later gets the outcome. Nothing happens when it is already under way."""
        key = (pod_spec.uid_of(pod), container["name"], container["image"])
        if key not in self._flights:
            task = asyncio.ensure_future(self._obtain(pod, container))
            task.add_done_callback(_retrieve)
            self._flights[key] = task

    async def ensure(self, pod: Obj, container: Obj) -> Image:
        self.begin(pod, container)
        key = (pod_spec.uid_of(pod), container["name"], container["image"])
        task = self._flights[key]
        try:
            return await asyncio.shield(task)
        finally:
            if task.done():
                self._flights.pop(key, None)

    def forget(self, uid: str) -> None:
        """The pod is gone: nothing is fetched for it any more."""
        for key in [key for key in self._flights if key[0] == uid]:
            self._flights.pop(key).cancel()
        for pull in [pull for pull in self._errors if pull[0] == uid]:
            del self._errors[pull]
            self._backoff.forget(pull)

    async def _obtain(self, pod: Obj, container: Obj) -> Image:
        reference, name = container["image"], container["name"]
        policy = container.get("imagePullPolicy") or default_pull_policy(reference)
        try:
            present = await self._service.image_status(reference)
        except RuntimeFailure as failure:
            text = f'Failed to inspect image "{reference}": {failure}'
            if failure.reason == "InvalidImageName":
                text = f'Failed to apply default image tag "{reference}": {failure}'
            self._events.warning(pod, "InspectFailed", text, name)
            raise StartFailure(failure.reason, text) from failure
        always = policy == "Always" and not reference.startswith("wherry.dev/host")
        if present is not None and not always:
            text = f'Container image "{reference}" already present on machine and can be accessed by the pod'
            self._events.normal(pod, "Pulled", text, name)
            return present
        if policy == "Never":
            text = f'Container image "{reference}" is not present with pull policy of Never'
            self._events.warning(pod, "ErrImageNeverPull", text, name)
            raise StartFailure("ErrImageNeverPull", text)
        return await self._pull(pod, container)

    async def _pull(self, pod: Obj, container: Obj) -> Image:
        reference, name = container["image"], container["name"]
        key = (pod_spec.uid_of(pod), reference)
        held = self._backoff.hold_since_update(key, self._clock.time())
        if held is not None:
            self._events.normal(pod, "BackOff", f'Back-off pulling image "{reference}"', name)
            why = self._errors.get(key)
            text = f'Back-off pulling image "{reference}"' + (f": ErrImagePull: {why}" if why else "")
            raise StartFailure("ImagePullBackOff", text, min(held[0], self._clock.time() + LOOK_SECONDS))
        self._events.normal(pod, "Pulling", f'Pulling image "{reference}"', name)
        began = self._clock.monotonic()
        try:
            image = await self._service.pull_image(reference, await self._auths(pod))
        except RuntimeFailure as failure:
            self._events.warning(pod, "Failed", f'Failed to pull image "{reference}": {failure}', name)
            now = self._clock.time()
            self._backoff.next(key, now)
            self._errors[key] = str(failure)
            raise StartFailure(failure.reason or "ErrImagePull", str(failure), now + ERROR_SHOWN_SECONDS) from failure
        took = go_duration(round(self._clock.monotonic() - began, 3))
        text = f'Successfully pulled image "{reference}" in {took} ({took} including waiting).'
        self._events.normal(pod, "Pulled", f"{text} Image size: {image.size} bytes.", name)
        self._errors.pop(key, None)
        return image

    async def _auths(self, pod: Obj) -> dict[str, RegistryAuth]:
        """Credentials of the pod's imagePullSecrets (admission has added the service account's); missing ones are left out."""
        namespace = pod_spec.namespace_of(pod)
        auths: dict[str, RegistryAuth] = {}
        for reference in pod["spec"].get("imagePullSecrets") or ():
            try:
                secret = await self._objects.get(SECRETS, namespace, reference.get("name", ""))
            except (MissingObject, StatusError, ConnectionError, TimeoutError):
                missing = reference.get("name", "")
                text = (
                    f"Unable to retrieve some image pull secrets ({missing}); "
                    "attempting to pull the image may not succeed."
                )
                self._events.warning(pod, "FailedToRetrieveImagePullSecret", text)
                continue
            auths.update(registry_auths(secret))
        return auths


def default_pull_policy(reference: str) -> str:
    """Always for `latest` or no tag, else IfNotPresent (the API server's default, for pods that lack it)."""
    name = reference.rpartition("/")[2]
    if "@" in reference:
        return "IfNotPresent"
    return "Always" if name.partition(":")[2] in ("", "latest") else "IfNotPresent"


def registry_auths(secret: Obj) -> dict[str, RegistryAuth]:
    """A dockerconfigjson or dockercfg Secret as credentials by registry host; what cannot be read is left out."""
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            entries = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
        elif ".dockercfg" in data:
            entries = json.loads(base64.b64decode(data[".dockercfg"]))
        else:
            return {}
        return dict(_entries(entries.items()))
    except (ValueError, AttributeError):
        return {}


def _entries(items: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[tuple[str, RegistryAuth]]:
    for server, entry in items:
        host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
        username, password = entry.get("username", ""), entry.get("password", "")
        if not username and entry.get("auth"):
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        yield host, RegistryAuth(username, password)


def _retrieve(task: asyncio.Task[Image]) -> None:
    """Mark the outcome as seen: nobody may ask for an image that was fetched ahead."""
    if not task.cancelled():
        task.exception()
