"""Content-addressed image names: another content is another name, so that a rollout follows a build."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from wherry.api.types import Obj
from wherry.cli.sources.bundle import containers

ID_CHARACTERS = 12  # of the image id: what `git` and image listings show, enough for one machine


def pinned(image: str, id_: str) -> str:
    """`cart:v1` and an image id -> `cart:v1-3fa9c2d1b0e4`: another content is another name, so a rollout follows."""
    short = id_.removeprefix("sha256:")[:ID_CHARACTERS]
    name, separator, tag = image.rpartition(":")
    if separator and "/" not in tag:
        return f"{name}:{tag}-{short}"
    return f"{image}:{short}"


def with_built(objects: Sequence[Obj], built: Mapping[str, str]) -> list[Obj]:
    """Copies of `objects` whose containers name what was built. A manifest may write the image with or without a tag."""
    changed: list[Obj] = []
    for obj in objects:
        draft = copy.deepcopy(obj)
        for container in containers(draft):
            image = str(container.get("image", ""))
            name, _, tag = image.rpartition(":")
            bare = name if name and "/" not in tag else image
            container["image"] = built.get(image) or built.get(bare) or image
        changed.append(draft)
    return changed
