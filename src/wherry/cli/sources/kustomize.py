"""kustomization.yaml, the part people write by hand (kustomize.config.k8s.io/v1beta1).

Read: resources and bases (local), components, namespace, namePrefix, nameSuffix, commonLabels, labels, commonAnnotations,
images, replicas, configMapGenerator, secretGenerator, generatorOptions, patches (strategic and JSON 6902),
patchesStrategicMerge, patchesJson6902. Everything else is refused by name: `kubectl kustomize DIR | wherry up -` of a
real kustomize covers the rest.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from wherry.api.types import Obj
from wherry.api.yaml import YAMLError, load_all
from wherry.cli.sources import generators, patches, references
from wherry.cli.sources.bundle import SourceError, containers, pod_specs
from wherry.cli.sources.folder import KUSTOMIZATION, read

HANDLED = {
    *("apiVersion", "kind", "metadata", "resources", "bases", "components", "namespace", "namePrefix", "nameSuffix"),
    *("commonLabels", "labels", "commonAnnotations", "images", "replicas", "configMapGenerator", "secretGenerator"),
    *("generatorOptions", "patches", "patchesStrategicMerge", "patchesJson6902", "sortOptions", "buildMetadata"),
}
CLUSTER_SCOPED = {
    *("Namespace", "Node", "PersistentVolume", "StorageClass", "ClusterRole", "ClusterRoleBinding", "PriorityClass"),
    *("CustomResourceDefinition", "IngressClass", "RuntimeClass", "MutatingWebhookConfiguration", "CSIDriver"),
    *("ValidatingWebhookConfiguration", "APIService", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}
DEPTH_MAX = 32  # overlays on overlays; a cycle would not end


def build(folder: Path) -> list[Obj]:
    """The objects of a kustomization, in order. Raises SourceError."""
    return _Build(folder.resolve(), 0).run([])


class _Build:
    def __init__(self, folder: Path, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise SourceError(f"{folder}: more than {DEPTH_MAX} kustomizations deep: is there a cycle?")
        self.folder, self.depth = folder, depth
        self.file = next((folder / name for name in KUSTOMIZATION if (folder / name).is_file()), None)
        if self.file is None:
            raise SourceError(f"{folder}: no kustomization.yaml")
        self.spec = _read_one(self.file)
        unknown = sorted(set(self.spec) - HANDLED)
        if unknown:
            raise SourceError(f"{self.file}: {', '.join(unknown)}: not supported; render it with `kubectl kustomize`")

    def run(self, inherited: list[Obj]) -> list[Obj]:
        """Kustomize's own order of transformers: patches first, names and labels last."""
        objects = inherited
        for entry in [*self._list("resources"), *self._list("bases")]:
            objects += self._resource(str(entry))
        objects += self._generated()
        for entry in self._list("components"):
            objects = _Build((self.folder / str(entry)).resolve(), self.depth + 1).run(objects)
        self._patch(objects)
        self._namespace(objects)
        self._names(objects)
        self._labels(objects)
        for obj in objects:
            _merge_map(obj, "annotations", self.spec.get("commonAnnotations") or {})
        self._replicas(objects)
        self._images(objects)
        return objects

    def _list(self, key: str) -> list[Any]:
        value = self.spec.get(key) or []
        if not isinstance(value, list):
            raise SourceError(f"{self.file}: {key}: must be a list")
        return value

    def _resource(self, entry: str) -> list[Obj]:
        if "://" in entry or entry.startswith("git@") or "?ref=" in entry:
            raise SourceError(f"{self.file}: resource {entry}: only local files and folders are read")
        path = (self.folder / entry).resolve()
        if path.is_dir():
            return _Build(path, self.depth + 1).run([])
        return [copy.deepcopy(obj) for obj in read(path)]

    def _generated(self) -> list[Obj]:
        defaults = self.spec.get("generatorOptions") or {}
        made: list[Obj] = []
        for kind, key in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
            for entry in self._list(key):
                obj = generators.generate(kind, entry, self.folder, defaults)
                if generators.wants_hash(entry, defaults):
                    obj[_HASH] = True
                made.append(obj)
        return made

    def _patch(self, objects: list[Obj]) -> None:
        entries = [*self._list("patches")]
        entries += [
            {"path": item} if "\n" not in str(item) else {"patch": item} for item in self._list("patchesStrategicMerge")
        ]
        entries += self._list("patchesJson6902")
        for entry in entries:
            text = entry.get("patch") or self._text(str(entry.get("path", "")))
            patches.apply(objects, text, entry.get("target"), f"{self.file}: patch {entry.get('path', '(inline)')}")

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except OSError as error:
            raise SourceError(f"{self.file}: {name}: {error.strerror}") from None

    def _namespace(self, objects: list[Obj]) -> None:
        namespace = self.spec.get("namespace")
        if not namespace:
            return
        for obj in objects:
            if obj["kind"] == "Namespace":
                continue
            if obj["kind"] not in CLUSTER_SCOPED:
                obj["metadata"]["namespace"] = namespace
            for subject in obj.get("subjects") or []:
                if subject.get("kind") == "ServiceAccount" and subject.get("namespace", "default") == "default":
                    subject["namespace"] = namespace

    def _names(self, objects: list[Obj]) -> None:
        prefix, suffix = self.spec.get("namePrefix") or "", self.spec.get("nameSuffix") or ""
        renamed: dict[tuple[str, str], str] = {}
        for obj in objects:
            old = obj["metadata"]["name"]
            new = old if obj["kind"] in ("Namespace", "CustomResourceDefinition") else f"{prefix}{old}{suffix}"
            if obj.pop(_HASH, False):
                new = f"{new}-{generators.content_hash({**obj, 'metadata': {**obj['metadata'], 'name': new}})}"
            if new != old:
                obj["metadata"]["name"] = renamed[obj["kind"], old] = new
        if renamed:
            for obj in objects:
                references.rename(obj, lambda kind, name: renamed.get((kind, name), name))

    def _labels(self, objects: list[Obj]) -> None:
        for obj in objects:
            common = self.spec.get("commonLabels") or {}
            if common:
                _label(obj, common, templates=True, selectors=True)
            for entry in self._list("labels"):
                selectors = bool(entry.get("includeSelectors"))
                _label(
                    obj, entry["pairs"], templates=selectors or bool(entry.get("includeTemplates")), selectors=selectors
                )

    def _replicas(self, objects: list[Obj]) -> None:
        for entry in self._list("replicas"):
            kinds = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
            found = [obj for obj in objects if obj["kind"] in kinds and _named(obj, entry["name"], self.spec)]
            if not found:
                raise SourceError(f"{self.file}: replicas: nothing is named {entry['name']!r}")
            for obj in found:
                obj["spec"]["replicas"] = int(entry["count"])

    def _images(self, objects: list[Obj]) -> None:
        for entry in self._list("images"):
            for obj in objects:
                for container in containers(obj):
                    container["image"] = _image(container.get("image", ""), entry)


_HASH = "\0hash"  # marks a generated object until it is named; no YAML key can be this


def _read_one(file: Path) -> Obj:
    try:
        documents = [item for item in load_all(file.read_text()) if item is not None]
    except YAMLError as error:
        raise SourceError(f"{file}: {error}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise SourceError(f"{file}: must hold exactly one kustomization")
    return documents[0]


def _merge_map(obj: Obj, key: str, values: Obj) -> None:
    if values:
        metadata = obj.setdefault("metadata", {})
        metadata[key] = {**(metadata.get(key) or {}), **values}


def _label(obj: Obj, pairs: Obj, *, templates: bool, selectors: bool) -> None:
    _merge_map(obj, "labels", pairs)
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    if templates and obj["kind"] != "Pod":
        holder = spec.get("jobTemplate", {}).get("spec", spec) if obj["kind"] == "CronJob" else spec
        if any(True for _ in pod_specs(obj)):
            _merge_map(holder["template"], "labels", pairs)
    if selectors and isinstance(spec.get("selector"), dict) and obj["kind"] != "PersistentVolumeClaim":
        if obj["kind"] in ("Service", "ReplicationController"):
            spec["selector"] = {**spec["selector"], **pairs}
        elif obj["kind"] != "Job":
            spec["selector"]["matchLabels"] = {**(spec["selector"].get("matchLabels") or {}), **pairs}


def _named(obj: Obj, name: str, spec: Obj) -> bool:
    full = f"{spec.get('namePrefix') or ''}{name}{spec.get('nameSuffix') or ''}"
    return obj["metadata"]["name"] in (name, full)


_REFERENCE = re.compile(r"^(?P<name>.+?)(?::(?P<tag>[\w][\w.-]*))?(?:@(?P<digest>sha256:\w+))?$")


def _image(image: str, entry: Obj) -> str:
    match = _REFERENCE.match(image)
    if match is None or match["name"] != entry["name"]:
        return image
    name = entry.get("newName") or match["name"]
    if entry.get("digest"):
        return f"{name}@{entry['digest']}"
    if entry.get("newTag") is not None:
        return f"{name}:{entry['newTag']}"
    return name + image[len(match["name"]) :]
