"""What a stage has become so far: layers, image configuration, arguments. Pure but for `view`."""

from __future__ import annotations

import copy
import posixpath
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from wherry.builder.steps import Layer
from wherry.builder.view import View
from wherry.images.rootfs import RootFS
from wherry.images.store import BASE_LABEL, ImageStore

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL = ("/bin/sh", "-c")


class StageState(Struct, frozen=True):
    """Immutable: each instruction gives the next one. `config` is the `config` object of the OCI image configuration."""

    base: str = ""
    """The name of a base without layers: another one is another file system."""
    layers: tuple[Layer, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    own_command: bool = False
    """CMD was set in this stage: an ENTRYPOINT after it keeps it."""

    @property
    def files(self) -> list[str]:
        """What the file system is made of, for cache keys."""
        return [self.base, *(diff_id for _, diff_id in self.layers)]

    @property
    def host(self) -> bool:
        return (self.config.get("Labels") or {}).get(BASE_LABEL) == "host"

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config.get("Env") or [] if "=" in entry)

    @property
    def workdir(self) -> str:
        return str(self.config.get("WorkingDir") or "/")

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.config.get("Shell") or SHELL)

    @property
    def variables(self) -> dict[str, str]:
        """What `$x` means here: ENV wins over ARG."""
        return {**self.arguments, **self.environment}

    def rootfs(self, store: ImageStore) -> RootFS:
        return RootFS(tuple(store.layer(diff_id) for _, diff_id in reversed(self.layers)), host=self.host)

    def view(self, store: ImageStore) -> View:
        return View(self.rootfs(store))

    def absolute(self, path: str) -> str:
        """`path` from the working directory, without `..`."""
        return "/" + posixpath.normpath(posixpath.join(self.workdir, path)).lstrip("/")

    def with_layer(self, layer: Layer, source: str) -> StageState:
        return replace(self, layers=(*self.layers, layer), history=(*self.history, {"created_by": source}))

    def with_config(self, source: str, **changes: Any) -> StageState:
        entry = {"created_by": source, "empty_layer": True}
        return replace(self, config={**copy.deepcopy(self.config), **changes}, history=(*self.history, entry))

    def with_environment(self, source: str, values: dict[str, str]) -> StageState:
        merged = {**self.environment, **values}
        return self.with_config(source, Env=[f"{name}={value}" for name, value in merged.items()])

    def with_argument(self, name: str, value: str) -> StageState:
        return replace(self, arguments={**self.arguments, name: value})

    def image_config(self, architecture: str) -> dict[str, Any]:
        """The OCI image configuration. Without a time: the same inputs are the same image."""
        return {
            "architecture": architecture,
            "os": "linux",
            "config": {key: value for key, value in self.config.items() if value not in (None, [], {}, "")},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in self.layers]},
            "history": list(self.history),
        }
