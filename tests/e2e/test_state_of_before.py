"""A state directory that an earlier Wherry left is opened by this one: objects, credentials, pods that ran.

`state-of-the-first-slice.tar.xz` is what `wherry down` left (options, keys of nobody's, storage) before there were managed
fields, encryption at rest and notes in storage. On its node `machine` ran a Deployment at its second revision, a
StatefulSet, a Job; beside them one object each of what people keep.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from kubectl import Kubectl, needs_kubectl, newest
from wherry_system import WherrySystem

pytestmark = needs_kubectl
LEFT = Path(__file__).with_name("state-of-the-first-slice.tar.xz")
KEPT = "configmap/settings secret/password service/web service/db limitrange/sizes pdb/web cronjob/nightly ingress/web hpa/web"


@pytest.fixture
def kubectl(own_system: WherrySystem) -> Kubectl:
    own_system.state.mkdir(mode=0o700)
    with tarfile.open(LEFT) as archive:
        # Python 3.11 has known this word since 3.11.4, 3.14 insists on it.
        archive.extractall(own_system.state, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    options = own_system.state / "config.json"
    options.write_text(json.dumps({**json.loads(options.read_text()), "name": own_system.name}))
    if own_system.tier.user is not None:
        for path in (own_system.state, *own_system.state.rglob("*")):
            shutil.chown(path, own_system.tier.user)
    own_system.start()
    return newest(own_system).in_namespace("before")


def test_it_goes_on_where_it_stopped(own_system: WherrySystem, kubectl: Kubectl) -> None:
    uids = ("{.items[*].metadata.uid}", "pods", "-l", "app=web")
    before = kubectl.path_of(*uids).split()
    kubectl.wait("deployment/web", "condition=Available")
    kubectl.wait("statefulset/db", "jsonpath={.status.readyReplicas}=1")
    # There may be more: starting again is load to the autoscaler.
    assert len(before) >= 2
    assert set(before) <= set(kubectl.path_of(*uids).split())
    assert kubectl.path_of("{.data.word}", "secret/password") == "Y29ycmVjdCBob3JzZQ=="
    assert kubectl.path_of("{.status.succeeded}", "job/once") == "1"
    secrets_on_disk = b"".join(file.read_bytes() for file in own_system.state.glob("storage.db*"))
    assert b"Y29ycmVjdCBob3JzZQ==" not in secrets_on_disk

    for each in KEPT.split():
        kubectl("label", each, "seen=yes")
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"greeting": "farewell"}}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(mine))
    owners = kubectl.path_of("{.metadata.managedFields[*].manager}", "configmap/settings", "--show-managed-fields")
    assert "kubectl" in owners.split()
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    kubectl("delete", "namespace", "before", "--timeout=60s", timeout=90)
