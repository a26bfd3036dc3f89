"""What people do with custom resources at kubectl: the definition, then objects of a kind kubectl has never heard of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from control_plane_process import ControlPlane
from kubectl_tool import Kubectl, newest, oldest_and_newest

pytestmark = pytest.mark.kubectl

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields: [{jsonPath: .spec.image}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The schedule}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Image, type: string, jsonPath: .spec.image, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A thing that happens again and again
        properties:
          spec:
            type: object
            description: What is wished for
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^(\\S+\\s+){4}\\S+$', description: When it happens}
              image: {type: string}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
              env:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, value: {type: string}}
          status:
            type: object
            properties:
              replicas: {type: integer}
              selector: {type: string}
              conditions: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
OBJECT = """
apiVersion: GROUP/v1
kind: CronTab
metadata: {name: night}
spec: {cronSpec: "0 3 * * *", image: tidy, env: [{name: A, value: "1"}]}
"""


@pytest.fixture
def forgetful(kubectl: Kubectl, plane: ControlPlane, tmp_path: Path) -> Kubectl:
    """With a discovery cache of its own: others must not remember kinds that are gone by then."""
    return Kubectl(kubectl.program, plane.kubeconfig, tmp_path, kubectl.namespace)


class World:
    """A definition in a group of its own, so that releases do not meet; kubectl remembers kinds, so tests have their own."""

    def __init__(self, kubectl: Kubectl, word: str) -> None:
        self.kubectl = kubectl
        self.word = word
        self.group = f"{kubectl.namespace}.example.com"

    def text(self, manifest: str) -> str:
        named = (
            manifest.replace("Cron", self.word.title())
            .replace("crontab", f"{self.word}tab")
            .replace("[ct]", f"[{self.word[0]}t]")
        )
        return named.replace("GROUP", self.group)

    @contextmanager
    def defined(self) -> Iterator[None]:
        self.kubectl("apply", "-f", "-", stdin=self.text(DEFINITION))
        self.kubectl("wait", "--for=condition=Established", f"crd/{self.word}tabs.{self.group}", "--timeout=50s")
        yield
        self.kubectl("delete", "crd", f"{self.word}tabs.{self.group}", "--ignore-not-found")


@oldest_and_newest
def test_the_life_of_a_custom_resource(forgetful: Kubectl) -> None:
    world = World(forgetful, "cron")
    with world.defined():
        _live(forgetful, world)


def _live(kubectl: Kubectl, world: World) -> None:
    kubectl("create", "-f", "-", stdin=world.text(OBJECT))
    lines = kubectl("get", "ct").splitlines()
    assert lines[0].split() == ["NAME", "SPEC", "READY", "AGE"]
    assert lines[1].split()[:6] == ["night", "0", "3", "*", "*", "*"]
    assert kubectl("get", "crontab", "-o", "wide").splitlines()[0].split()[-2:] == ["IMAGE", "AGE"]
    assert f"crontab.{world.group}/night" in kubectl("get", "all", "-o", "name")
    assert kubectl.path("{.spec.replicas}", "ct", "night") == "1"
    assert (
        kubectl("get", "ct", "--field-selector=spec.image=tidy", "-o", "name").strip() == f"crontab.{world.group}/night"
    )
    assert kubectl("get", "ct", "--field-selector=spec.image=other", "-o", "name") == ""
    kubectl("patch", "ct", "night", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    kubectl("scale", "ct/night", "--replicas=3")
    assert kubectl.path("{.spec.replicas} {.metadata.generation}", "ct", "night") == "3 3"
    message = kubectl.fails("patch", "ct", "night", "--type=merge", "-p", '{"spec":{"replicas":11}}')
    assert "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10" in message
    assert "accepted media types" in kubectl.fails("patch", "ct", "night", "--type=strategic", "-p", "{}")
    kubectl("label", "ct", "night", "a=b")
    kubectl("apply", "-f", "-", stdin=world.text(OBJECT))
    assert "night" in kubectl("describe", "ct", "night")
    edited = kubectl("get", "ct", "night", "-o", "yaml").replace("image: tidy", "image: sweep")
    kubectl("replace", "-f", "-", stdin=edited)
    assert kubectl.path("{.spec.image}", "ct", "night") == "sweep"
    kubectl("delete", "ct", "night")
    kubectl("delete", "crd", f"crontabs.{world.group}")
    assert "could not find the requested resource" in kubectl.fails("get", "ct")  # kubectl remembers the kind


@newest
def test_explain_and_server_side_apply(forgetful: Kubectl) -> None:
    world = World(forgetful, "wake")
    with world.defined():
        _explain(forgetful, world)


def _explain(kubectl: Kubectl, world: World) -> None:
    told = kubectl("explain", "waketab.spec")
    assert "What is wished for" in told
    assert "cronSpec\t<string> -required-" in told
    assert "When it happens" in told
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=world.text(OBJECT))
    more = world.text(OBJECT).replace('{name: A, value: "1"}', '{name: B, value: "2"}')
    kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=more)
    assert json.loads(kubectl.path("{.spec.env[*].name}", "wt", "night").join('""')) == "A B"
    other = world.text(OBJECT).replace("tidy", "sweep")
    assert 'conflict with "one"' in kubectl.fails(
        "apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other
    )
    assert 'unknown field "spec.bogus"' in kubectl.fails(
        "create", "-f", "-", stdin=world.text(OBJECT).replace("night", "day").replace("image: tidy", "bogus: 1")
    )
    listed = yaml.safe_load(kubectl("get", "crd", f"waketabs.{world.group}", "-o", "yaml"))
    assert listed["status"]["storedVersions"] == ["v1"]
