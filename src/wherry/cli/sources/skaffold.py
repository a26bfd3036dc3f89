"""skaffold.yaml: which images to build, which manifests to apply (skaffold/v2beta* to v4beta*, v3).

Read: several documents, `requires` (configs, path), build.artifacts (image, context, docker.dockerfile/target/buildArgs,
requires), manifests or deploy (rawYaml, kubectl.manifests, kustomize.paths), profiles with JSON patches or overlays.
What drives other machines or tools (helm releases, cluster builders, buildpacks, hooks) is refused by name; what only
tunes Skaffold's own loop (sync, portForward, test, verify, tagPolicy, local) is left to the commands that have it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wherry.api.types import Obj
from wherry.api.yaml import YAMLError, load_all
from wherry.apiserver.patch import PatchError, json_patch
from wherry.cli.sources import kustomize
from wherry.cli.sources.bundle import Artifact, Bundle, SourceError
from wherry.cli.sources.folder import read

IGNORED_IN_BUILD = {"tagPolicy", "local", "platforms", "insecureRegistries"}
IGNORED_IN_ARTIFACT = {"sync", "hooks", "platforms", "runtimeType"}
DOCKER = {"dockerfile", "target", "buildArgs", "cacheFrom", "noCache", "pullParent", "network", "squash"}


def load(file: Path, profiles: Sequence[str] = ()) -> Bundle:
    """Everything the file says with `profiles` switched on. Raises SourceError."""
    known: set[str] = set()
    bundle = _load(file.resolve(), profiles, None, set(), known)
    missing = [name for name in profiles if name not in known]
    if missing:
        raise SourceError(f"{file}: no profile {', '.join(missing)}; it has {', '.join(sorted(known)) or 'none'}")
    return bundle


def _load(
    file: Path, profiles: Sequence[str], configs: Sequence[str] | None, seen: set[Any], known: set[str]
) -> Bundle:
    bundle = Bundle()
    for document in _documents(file):
        name = (document.get("metadata") or {}).get("name", "")
        if (configs and name not in configs) or (file, name) in seen:
            continue
        seen.add((file, name))
        known.update(str(profile.get("name")) for profile in document.get("profiles") or [])
        document = _with_profiles(document, profiles, file)
        for requirement in document.get("requires") or []:
            bundle += _required(file, requirement, profiles, seen, known)
        bundle += _module(document, file)
    return bundle


def _documents(file: Path) -> list[Obj]:
    try:
        documents = [item for item in load_all(file.read_text()) if item is not None]
    except YAMLError as error:
        raise SourceError(f"{file}: {error}") from None
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from None
    for document in documents:
        version = document.get("apiVersion", "") if isinstance(document, dict) else ""
        if not str(version).startswith(("skaffold/v2", "skaffold/v3", "skaffold/v4")):
            raise SourceError(f"{file}: apiVersion {version!r}: skaffold/v2beta1 or newer is read")
    return documents


def _required(file: Path, requirement: Obj, profiles: Sequence[str], seen: set[Any], known: set[str]) -> Bundle:
    unsupported = sorted(set(requirement) - {"path", "configs", "activeProfiles"})
    if unsupported:
        raise SourceError(f"{file}: requires: {', '.join(unsupported)}: only local paths are read")
    path = (file.parent / requirement["path"]).resolve() if requirement.get("path") else file
    path = path / "skaffold.yaml" if path.is_dir() else path
    return _load(path, profiles, requirement.get("configs"), seen, known)


def _with_profiles(document: Obj, profiles: Sequence[str], file: Path) -> Obj:
    document = copy.deepcopy(document)
    for profile in document.pop("profiles", None) or []:
        if profile.get("name") not in profiles:
            continue
        for key in ("build", "manifests", "deploy"):
            if profile.get(key):
                document[key] = _overlay(document.get(key) or {}, profile[key])
        operations = [{"op": "replace", **patch} for patch in profile.get("patches") or []]
        try:
            document = json_patch(document, operations)
        except PatchError as error:
            raise SourceError(f"{file}: profile {profile['name']}: {error}") from None
    return document


def _overlay(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _overlay(base.get(key), value) for key, value in over.items()}}
    return over


def _module(document: Obj, file: Path) -> Bundle:
    build = document.get("build") or {}
    unknown = sorted(set(build) - IGNORED_IN_BUILD - {"artifacts"})
    if unknown:
        raise SourceError(f"{file}: build.{unknown[0]}: not supported; images are built on this machine")
    artifacts = [_artifact(entry, file) for entry in build.get("artifacts") or []]
    deploy = document.get("deploy") or {}
    kubectl = deploy.get("kubectl") or {}
    sources = [document.get("manifests") or {}, deploy, {"rawYaml": kubectl.get("manifests")}]
    objects = [obj for source in sources for obj in _manifests(source, file)]
    return Bundle(objects, artifacts, kubectl.get("defaultNamespace") or "")


def _artifact(entry: Obj, file: Path) -> Artifact:
    where = f"{file}: artifact {entry.get('image')!r}"
    unknown = sorted(set(entry) - IGNORED_IN_ARTIFACT - {"image", "context", "docker", "requires"})
    if unknown or not entry.get("image"):
        raise SourceError(f"{where}: {unknown[0] if unknown else 'image'}: only docker artifacts are built")
    docker = entry.get("docker") or {}
    unsupported = sorted(set(docker) - DOCKER)
    if unsupported:
        raise SourceError(f"{where}: docker.{unsupported[0]}: not supported")
    context = (file.parent / entry.get("context", ".")).resolve()
    if not context.is_dir():
        raise SourceError(f"{where}: context {context}: no such folder")
    return Artifact(
        entry["image"],
        context,
        context / docker.get("dockerfile", "Dockerfile"),
        docker.get("target", ""),
        {str(key): str(value) for key, value in (docker.get("buildArgs") or {}).items()},
        tuple((item["image"], item.get("alias") or item["image"]) for item in entry.get("requires") or []),
    )


def _manifests(source: Obj, file: Path) -> list[Obj]:
    helm = source.get("helm") or {}
    if helm.get("releases"):
        raise SourceError(f"{file}: helm releases: install them with helm itself")
    objects: list[Obj] = []
    for pattern in source.get("rawYaml") or []:
        found = sorted(file.parent.glob(str(pattern)))
        if not found:
            raise SourceError(f"{file}: rawYaml {pattern!r}: no such file")
        objects += [obj for path in found for obj in read(path)]
    chosen = source.get("kustomize") or {}
    for folder in (chosen.get("paths") or ["."]) if "kustomize" in source else []:
        objects += kustomize.build(file.parent / folder)
    return objects
