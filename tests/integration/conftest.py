"""One control plane for all integration tests of a worker that only need an API with controllers, and kubectl for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from client_world import furnished
from control_plane_process import ControlPlane
from kubectl_tool import PROGRAMS, Kubectl


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture
def kubectl(
    release: str, plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Kubectl]:
    """Of the test's `release`, in a namespace of its own."""
    home = tmp_path_factory.getbasetemp() / f"home-{release}"  # its discovery cache serves all tests of a release
    home.mkdir(exist_ok=True)
    letters = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))[:40].strip("-")
    kubectl = Kubectl(PROGRAMS[release], plane.kubeconfig, home, f"{letters}-{release.replace('.', '')}")
    kubectl("create", "namespace", kubectl.namespace)
    furnished(plane, kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
