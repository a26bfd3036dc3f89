"""The result of reading sources: objects to apply and images to build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wherry.api.types import Obj


class SourceError(Exception):
    """A file cannot be used; the text names the file, the field or line, and what to do."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One image to build, in skaffold's words. `image` is the name manifests use, without a tag unless they have one."""

    image: str
    context: Path
    dockerfile: Path
    target: str = ""
    build_args: dict[str, str] = field(default_factory=dict)
    requires: tuple[tuple[str, str], ...] = ()
    """(image, alias): images built before this one; their built name is passed as build argument `alias`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything found under one PATH."""

    objects: list[Obj] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    namespace: str = ""
    """Where namespaced objects without one go; empty: the command's default."""

    def __add__(self, other: Bundle) -> Bundle:
        return Bundle(self.objects + other.objects, self.artifacts + other.artifacts, self.namespace or other.namespace)


def pod_specs(obj: Obj) -> Iterator[Obj]:
    """The pod spec inside a workload, if it has one."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    if obj.get("kind") == "Pod":
        yield spec
    elif obj.get("kind") == "CronJob":
        template = spec.get("jobTemplate", {}).get("spec", {}).get("template", {})
        if isinstance(template.get("spec"), dict):
            yield template["spec"]
    elif isinstance(spec.get("template"), dict) and isinstance(spec["template"].get("spec"), dict):
        yield spec["template"]["spec"]


def containers(obj: Obj) -> Iterator[Obj]:
    """Every container of a workload, init containers first."""
    for spec in pod_specs(obj):
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            yield from (item for item in spec.get(kind) or [] if isinstance(item, dict))


def in_build_order(artifacts: list[Artifact]) -> list[Artifact]:
    """Each after what it requires. Raises SourceError for a cycle or an unknown name."""
    by_image = {artifact.image: artifact for artifact in artifacts}
    ordered: list[Artifact] = []
    path: list[str] = []

    def visit(artifact: Artifact) -> None:
        if artifact in ordered:
            return
        if artifact.image in path:
            raise SourceError(f"images require each other: {' -> '.join([*path, artifact.image])}")
        path.append(artifact.image)
        for image, _ in artifact.requires:
            if image not in by_image:
                raise SourceError(f"image {artifact.image} requires {image}, which no artifact builds")
            visit(by_image[image])
        path.pop()
        ordered.append(artifact)

    for artifact in artifacts:
        visit(artifact)
    return ordered
