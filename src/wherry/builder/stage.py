"""What a stage has become so far: layers, image configuration, arguments, and the key that names this state in the cache."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from wherry.builder.view import View
from wherry.images.rootfs import RootFS
from wherry.images.store import BASE_LABEL, Descriptor, ImageStore

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class StageState:
    """Immutable: each instruction gives the next one. `config` is the `config` object of the OCI image configuration."""

    key: str
    layers: tuple[tuple[Descriptor, str], ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    shell: tuple[str, ...] = ("/bin/sh", "-c")

    @property
    def host(self) -> bool:
        return (self.config.get("Labels") or {}).get(BASE_LABEL) == "host"

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config.get("Env") or [])

    @property
    def workdir(self) -> str:
        return str(self.config.get("WorkingDir") or "/")

    @property
    def variables(self) -> dict[str, str]:
        """What `$x` means here: ENV wins over ARG."""
        return {**self.arguments, **self.environment}

    def rootfs(self, store: ImageStore) -> RootFS:
        return RootFS(tuple(store.layer(diff_id) for _, diff_id in reversed(self.layers)), host=self.host)

    def view(self, store: ImageStore) -> View:
        return View(self.rootfs(store))

    def keyed(self, *inputs: object) -> str:
        """The cache key of an instruction applied to this state."""
        return hashlib.sha256("\0".join([self.key, *map(str, inputs)]).encode()).hexdigest()

    def with_layer(self, key: str, layer: tuple[Descriptor, str] | None, source: str) -> StageState:
        """`None`: the instruction changed nothing on disk."""
        entry: dict[str, Any] = {"created_by": source}
        if layer is None:
            entry["empty_layer"] = True
        layers = self.layers if layer is None else (*self.layers, layer)
        return replace(self, key=key, layers=layers, history=(*self.history, entry))

    def with_config(self, source: str, **changes: Any) -> StageState:
        config = {**copy.deepcopy(self.config), **changes}
        entry = {"created_by": source, "empty_layer": True}
        return replace(
            self,
            key=self.keyed(source, json.dumps(changes, sort_keys=True)),
            config=config,
            history=(*self.history, entry),
        )

    def with_environment(self, source: str, values: dict[str, str]) -> StageState:
        merged = {**self.environment, **values}
        return self.with_config(source, Env=[f"{name}={value}" for name, value in merged.items()])

    def with_argument(self, name: str, value: str) -> StageState:
        return replace(self, arguments={**self.arguments, name: value})

    def absolute(self, path: str) -> str:
        return str(PurePosixPath(self.workdir) / path)

    def image_config(self, architecture: str) -> dict[str, Any]:
        """The OCI image configuration. Without a time: the same inputs are the same image."""
        return {
            "architecture": architecture,
            "os": "linux",
            "config": {key: value for key, value in self.config.items() if value not in (None, [], {}, "")},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in self.layers]},
            "history": list(self.history),
        }
