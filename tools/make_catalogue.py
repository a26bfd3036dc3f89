"""Writes src/wherry/api/catalogue.xz: what Kubernetes 1.25 to 1.37 serve, and the shape of it.

    python tools/make_catalogue.py --lightkube DIR [--out FILE]

Sources, none of which anybody needs at run time:

    kubernetes-validate       definitions (structure, merge keys, list types, descriptions), all versions in one wheel
    lightkube-models          which resources exist: plural, scope, verbs, subresources; one wheel per minor version,
                              each unpacked into DIR/1.NN
                              (pip install --no-deps --target DIR/1.NN "lightkube-models==1.NN.*")
    tests/reference/*.json    what a running 1.36 says beyond that: short names, categories, singular names, connect
                              subresources, order of groups, defaults

The file is a row of xz streams (so `xz -dc` prints it): a directory of offsets, the default version, all other versions
(definitions that several versions share are stored once), descriptions and defaults. wherry.api.catalogue reads it.
"""

from __future__ import annotations

import argparse
import ast
import json
import lzma
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

DEFAULT = "1.36"
VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
# Beta APIs are off by default since 1.24; these were on before and stayed on until their removal.
BETAS_ON = {("autoscaling", "v2beta2"), ("storage.k8s.io", "v1beta1", "csistoragecapacities")}
BETAS_ON |= {("flowcontrol.apiserver.k8s.io", f"v1beta{number}") for number in (1, 2, 3)}
VERBS = {"post": "create", "put": "update", "global_list": "list", "global_watch": "watch"}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
# Reachable from no resource, but said on the wire.
ALWAYS = [
    META + name for name in ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Status")
]
ALWAYS += [META + "WatchEvent", "io.k8s.apimachinery.pkg.version.Info"]
PREFIX = "#/$defs/"
ROOT = Path(__file__).resolve().parent.parent


class Api(NamedTuple):
    """One class of lightkube.resources: a resource, or a subresource when `parent` is there."""

    namespaced: bool
    gvk: tuple[str, str, str]
    parent: tuple[str, str, str] | None
    plural: str
    verbs: list[str]
    action: str


def apis(folder: Path) -> Iterator[Api]:
    """Reads the classes without importing them: thirteen versions of one package cannot be imported together."""
    for path in sorted((folder / "lightkube" / "resources").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef) or not isinstance(node.bases[0], ast.Attribute):
                continue
            for statement in node.body:
                if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                    words = {keyword.arg: keyword.value for keyword in statement.value.keywords}
                    yield Api(
                        node.bases[0].attr.startswith("Namespaced"),
                        call_arguments(words["resource"]),
                        call_arguments(words["parent"]) if "parent" in words else None,
                        ast.literal_eval(words["plural"]),
                        sorted({VERBS.get(verb, verb) for verb in ast.literal_eval(words["verbs"])}),
                        ast.literal_eval(words["action"]) if "action" in words else "",
                    )


def call_arguments(node: ast.expr) -> Any:
    assert isinstance(node, ast.Call)
    return tuple(ast.literal_eval(argument) for argument in node.args)


def is_on(group: str, version: str, plural: str) -> bool:
    if "alpha" in version:
        return False
    return "beta" not in version or bool({(group, version), (group, version, plural)} & BETAS_ON)


def resources(folder: Path, reference: list[Json], kinds: dict[tuple[str, str, str], str]) -> list[Json]:
    """The resource table of one version; facts lightkube lacks come from the reference's entry of the same resource."""
    known = {(entry["group"], entry["resource"]): entry for entry in reference}
    order = list(dict.fromkeys(entry["group"] for entry in reference))
    found = [api for api in apis(folder) if is_on(api.gvk[0], api.gvk[1], api.plural) or api.parent]
    table: list[Json] = []
    for api in found:
        if api.parent is not None:
            continue
        (group, version, kind) = api.gvk
        fact = known.get((group, api.plural), {})
        entry: Json = {
            "group": group,
            "version": version,
            "resource": api.plural,
            "singular": fact.get("singularResource", kind.lower()),
            "kind": kind,
            "namespaced": api.namespaced,
            "verbs": fact.get("verbs", api.verbs),
            "definition": kinds[api.gvk],
        }
        entry |= {key: fact[key] for key in ("shortNames", "categories") if key in fact}
        subresources = [sub for sub in found if sub.parent == api.gvk and sub.plural == api.plural]
        entry["subresources"] = list(subresource_table(api, subresources, fact, kinds))
        table.append(entry)
    table.sort(key=lambda entry: (order.index(entry["group"]) if entry["group"] in order else 99, entry["group"]))
    return sort_versions(table)


def subresource_table(api: Api, found: list[Api], fact: Json, kinds: dict[tuple[str, str, str], str]) -> Iterator[Json]:
    subs = {sub.action: {"name": sub.action, "gvk": sub.gvk, "verbs": sub.verbs} for sub in found}
    for sub in fact.get("subresources", []):
        if sub["kind"].endswith("Options"):  # connect subresources, which lightkube leaves out
            subs[sub["subresource"]] = {
                "name": sub["subresource"], "gvk": (*api.gvk[:2], sub["kind"]), "verbs": sub["verbs"],
            }  # fmt: skip
    for name in sorted(subs):
        (group, version, kind) = subs[name]["gvk"]
        entry: Json = {"name": name, "kind": kind, "verbs": subs[name]["verbs"]}
        if (group, version) != api.gvk[:2]:
            entry |= {"group": group, "version": version}
        if (group, version, kind) in kinds:
            entry["definition"] = kinds[group, version, kind]
        yield entry


def sort_versions(table: list[Json]) -> list[Json]:
    """Preferred version first, inside it resources by name: the order of discovery."""
    groups = list(dict.fromkeys(entry["group"] for entry in table))
    return sorted(table, key=lambda e: (groups.index(e["group"]), version_rank(e["version"]), e["resource"]))


def version_rank(version: str) -> tuple[int, int, int]:
    (major, _, beta) = version.removeprefix("v").partition("beta")
    return (1 if beta else 0, -int(major), -int(beta or 0))


def strip(node: Json) -> Json:
    """The structure alone: no descriptions, no nulls in types, references by name."""
    result: Json = {}
    for key, value in node.items():
        if key == "type":
            result[key] = next(name for name in value if name != "null") if isinstance(value, list) else value
        elif key == "$ref":
            result["ref"] = value.removeprefix(PREFIX)
        elif key == "properties":
            result[key] = {name: strip(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            result[key] = strip(value)
        elif key not in ("description", "enum", "oneOf"):
            result[key] = value
    return result


def describe(node: Json) -> list[Any]:
    """[text of the definition, {field: text}]"""
    fields = {name: child.get("description", "") for name, child in node.get("properties", {}).items()}
    return [node.get("description", ""), {name: text for name, text in fields.items() if text}]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(PREFIX)
        for child in node.values():
            yield from references(child)


def reachable(definitions: Json, roots: list[str]) -> Json:
    """The definitions a server of this version shows: those of resources that are on, and what they are made of."""
    keep: set[str] = set()
    todo = [root for root in roots if root in definitions]
    while todo:
        name = todo.pop()
        if name not in keep:
            keep.add(name)
            todo += references(definitions[name])
    return {name: definitions[name] for name in sorted(keep)}


def read_version(version: str, lightkube: Path, reference: list[Json]) -> tuple[list[Json], Json]:
    spec = find_spec("kubernetes_validate")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "kubernetes-json-schema" / f"v{version}.0-local" / "_definitions.json"
    definitions: Json = json.loads(path.read_text())["$defs"]
    kinds = {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, node in definitions.items()
        if len(node.get("x-kubernetes-group-version-kind", [])) == 1
        for gvk in node["x-kubernetes-group-version-kind"]
    }
    table = resources(lightkube / version, reference, kinds)
    roots = ALWAYS + [entry["definition"] for entry in table] + [entry["definition"] + "List" for entry in table]
    roots += [sub["definition"] for entry in table for sub in entry["subresources"] if "definition" in sub]
    return table, reachable(definitions, roots)


def pool(parts: dict[str, Json]) -> Json:
    """Every distinct (name, value) once, neighbours alike; per version the positions used, as differences."""
    entries: dict[str, tuple[str, Any]] = {}
    for definitions in parts.values():
        for name, value in definitions.items():
            entries[name + json.dumps(value, sort_keys=True)] = (name, value)
    positions = {key: index for index, key in enumerate(sorted(entries))}
    uses = {}
    for version, definitions in parts.items():
        used = sorted(positions[name + json.dumps(value, sort_keys=True)] for name, value in definitions.items())
        uses[version] = [second - first for first, second in pairwise([0, *used])]
    return {"definitions": [entries[key] for key in positions], "uses": uses}


def compress(document: Any) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lightkube", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "wherry" / "api" / "catalogue.xz")
    options = parser.parse_args()
    facts = ROOT / "tests" / "reference"
    reference = json.loads((facts / "resources.json").read_text())
    tables: dict[str, list[Json]] = {}
    structures: dict[str, Json] = {}
    texts: dict[str, Json] = {}
    for version in VERSIONS:
        (tables[version], definitions) = read_version(version, options.lightkube, reference)
        structures[version] = {name: strip(node) for name, node in definitions.items()}
        texts[version] = {name: describe(node) for name, node in definitions.items()}
    default = {"resources": tables[DEFAULT], "definitions": structures.pop(DEFAULT)}
    others = {"resources": {version: tables[version] for version in structures}, **pool(structures)}
    prose = {"defaults": json.loads((facts / "openapi-v3-defaults.json").read_text()), **pool(texts)}
    streams = {"default": compress(default), "others": compress(others), "prose": compress(prose)}
    offset = 0
    directory: Json = {"version": DEFAULT, "versions": VERSIONS, "streams": {}}
    for name, stream in streams.items():  # offsets count from the end of the directory's own stream
        directory["streams"][name] = [offset, offset + len(stream)]
        offset += len(stream)
    options.out.write_bytes(b"".join([compress(directory), *streams.values()]))
    for name, stream in streams.items():
        print(f"{name:8} {len(stream):7,} bytes")
    print(f"{'total':8} {options.out.stat().st_size:7,} bytes")


if __name__ == "__main__":
    main()
