"""Folders, kustomizations and skaffold files as users write them, read from disk."""

import io
import textwrap
from pathlib import Path

import pytest

from wherry.cli.sources.bundle import Artifact, SourceError, in_build_order
from wherry.cli.sources.folder import load
from wherry.cli.sources.pinning import pinned, with_built

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:v1
          envFrom: [{configMapRef: {name: settings}}]
"""


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def test_a_folder_is_read_file_by_file_and_lists_are_taken_apart(tmp_path):
    write(
        tmp_path,
        b_yaml="apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: two}}]",
        a_yaml="---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n",
    )
    assert [obj["metadata"]["name"] for obj in load(tmp_path).objects] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ConfigMap", "document 1: apiVersion not set"),
        ("apiVersion: v1", "document 1: kind not set"),
        ("- a", "is a list, not a Kubernetes object"),
        ("a: [", "line"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    write(tmp_path, bad_yaml=text)
    with pytest.raises(SourceError) as error:
        load(tmp_path)
    assert str(tmp_path / "bad.yaml") in str(error.value)
    assert message in str(error.value)


def test_an_empty_folder_says_what_is_looked_for(tmp_path):
    with pytest.raises(SourceError, match=r"no skaffold.yaml, kustomization.yaml or \*.yaml here"):
        load(tmp_path)
    with pytest.raises(SourceError, match="no such file or folder"):
        load(tmp_path / "none")


def test_kustomization_with_base_patch_generator_images_replicas_and_namespace(tmp_path):
    write(
        tmp_path,
        base__web_yaml=DEPLOYMENT,
        base__kustomization_yaml="resources: [web.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=1]}]",
        over__patch_yaml="""
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: web}
            spec: {template: {spec: {containers: [{name: web, args: [--verbose]}]}}}
        """,
        over__kustomization_yaml="""
            namespace: staging
            namePrefix: s-
            resources: [../base]
            commonLabels: {team: river}
            patches:
              - path: patch.yaml
              - target: {kind: Deployment}
                patch: |
                  - {op: add, path: /spec/template/spec/hostname, value: h}
            images: [{name: web, newTag: v2}]
            replicas: [{name: web, count: 3}]
        """,
    )
    config, web = sorted(load(tmp_path / "over").objects, key=lambda obj: obj["kind"])
    assert config["metadata"]["name"].startswith("s-settings-")
    assert config["metadata"]["namespace"] == web["metadata"]["namespace"] == "staging"
    assert web["metadata"]["name"] == "s-web"
    assert web["spec"]["replicas"] == 3
    assert web["spec"]["selector"]["matchLabels"] == {"app": "web", "team": "river"}
    spec = web["spec"]["template"]["spec"]
    assert spec["hostname"] == "h"
    assert spec["containers"][0]["image"] == "web:v2"
    assert spec["containers"][0]["args"] == ["--verbose"]
    assert spec["containers"][0]["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]


def test_a_generated_name_changes_with_the_content_only(tmp_path):
    names = []
    for number, literal in enumerate(["a=1", "a=1", "a=2"]):
        folder = tmp_path / str(number)
        write(folder, kustomization_yaml=f"configMapGenerator: [{{name: c, literals: [{literal}]}}]")
        names.append(load(folder).objects[0]["metadata"]["name"])
    assert names[0] == names[1] != names[2]


def test_what_a_kustomization_cannot_do_here_is_refused_by_name(tmp_path):
    write(tmp_path, kustomization_yaml="helmCharts: []\nresources: []")
    with pytest.raises(SourceError, match="helmCharts: not supported"):
        load(tmp_path)
    write(tmp_path, kustomization_yaml="resources: ['https://example.com/x.yaml']")
    with pytest.raises(SourceError, match="only local files"):
        load(tmp_path)


SKAFFOLD = """
    apiVersion: skaffold/v4beta14
    kind: Config
    build:
      artifacts:
        - image: web
          docker: {dockerfile: web.Dockerfile, buildArgs: {A: 1}}
          requires: [{image: base, alias: BASE}]
        - {image: base}
    manifests: {rawYaml: ["*.yaml"]}
    profiles:
      - name: debug
        patches: [{path: /build/artifacts/0/docker/dockerfile, value: debug.Dockerfile}]
"""


def test_skaffold_artifacts_manifests_and_profiles(tmp_path):
    write(tmp_path, k8s__web_yaml=DEPLOYMENT, skaffold_yaml=SKAFFOLD.replace('"*.yaml"', '"k8s/*.yaml"'))
    bundle = load(tmp_path)
    assert [artifact.image for artifact in in_build_order(bundle.artifacts)] == ["base", "web"]
    web = bundle.artifacts[0]
    assert (web.dockerfile, web.build_args) == (tmp_path / "web.Dockerfile", {"A": "1"})
    assert bundle.objects[0]["kind"] == "Deployment"
    assert load(tmp_path, ["debug"]).artifacts[0].dockerfile == tmp_path / "debug.Dockerfile"
    with pytest.raises(SourceError, match="no profile prod; it has debug"):
        load(tmp_path, ["prod"])


def test_skaffold_refuses_other_builders_by_name(tmp_path):
    write(tmp_path, skaffold_yaml="apiVersion: skaffold/v4beta1\nbuild: {googleCloudBuild: {}}")
    with pytest.raises(SourceError, match=r"build.googleCloudBuild: not supported"):
        load(tmp_path)


def test_images_that_require_each_other_are_refused():
    one = Artifact("one", Path(), Path(), requires=(("two", "T"),))
    two = Artifact("two", Path(), Path(), requires=(("one", "O"),))
    with pytest.raises(SourceError, match="one -> two -> one"):
        in_build_order([one, two])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("cart:v1", "cart:v1-0123456789ab"),
        ("cart", "cart:0123456789ab"),
        ("host:5001/cart", "host:5001/cart:0123456789ab"),
    ],
)
def test_what_was_built_has_a_name_of_its_own(image, name):
    assert pinned(image, "sha256:0123456789abcdef") == name


def test_containers_name_what_was_built():
    pod = {
        "kind": "Pod",
        "spec": {"initContainers": [{"image": "cart"}], "containers": [{"image": "cart:v3"}, {"image": "x"}]},
    }
    (changed,) = with_built([pod], {"cart": "cart:abc"})
    assert [item["image"] for item in changed["spec"]["containers"]] == ["cart:abc", "x"]
    assert changed["spec"]["initContainers"][0]["image"] == "cart:abc"
    assert pod["spec"]["containers"][0]["image"] == "cart:v3"


def test_standard_input_is_read_as_a_file(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}"))
    assert [obj["kind"] for obj in load(Path("-")).objects] == ["ConfigMap"]
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: ConfigMap"))
    with pytest.raises(SourceError, match="standard input, document 1: apiVersion not set"):
        load(Path("-"))
