"""StorageClasses, CSI kinds, attachments, volumes and claims: what Kubernetes refuses of them, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_probes import DROP, Probe
from recorded_exchanges import World

from wherry.api.types import GVR

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
STORAGE = "storage.k8s.io"
PROBES = {
    "pv": Probe(
        GVR("", "v1", "persistentvolumes"),
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "nfs": {"server": "s", "path": "/p"},
            }
        },
    ),
    "pvc": Probe(
        GVR("", "v1", "persistentvolumeclaims"),
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    "class": Probe(GVR(STORAGE, "v1", "storageclasses"), {"provisioner": "example.com/x"}),
    "attributes": Probe(GVR(STORAGE, "v1", "volumeattributesclasses"), {"driverName": "d", "parameters": {"a": "b"}}),
    "attachment": Probe(
        GVR(STORAGE, "v1", "volumeattachments"),
        {"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
    ),
    "driver": Probe(GVR(STORAGE, "v1", "csidrivers"), {"spec": {}}),
    "node": Probe(GVR(STORAGE, "v1", "csinodes"), {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}),
    "capacity": Probe(GVR(STORAGE, "v1", "csistoragecapacities"), {"storageClassName": "c", "capacity": "1Gi"}),
}
REFUSED: list[tuple[str, str, Any, str]] = [
    ("pv", "spec.accessModes", ["Some"], ('spec.accessModes: Unsupported value: "Some": supported values: '
     '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"')),
    ("pv", "spec.capacity", DROP, ("spec.capacity: Required value\n"
     'spec.capacity: Unsupported value: null: supported values: "storage"')),
    ("pv", "spec.capacity.storage", "0", 'spec.capacity[storage]: Invalid value: "0": must be greater than zero'),
    ("pv", "spec.nfs", DROP, "spec: Required value: must specify a volume type"),
    ("pv", "spec.hostPath", {"path": "/x"}, "spec.nfs: Forbidden: may not specify more than 1 volume type"),
    ("pv", "spec.nodeAffinity", {}, "spec.nodeAffinity.required: Required value: must specify required node constraints"),
    ("pv", "spec.volumeAttributesClassName", "a",
     "spec.csi: Required value: has to be specified when using volumeAttributesClassName"),
    ("pv", "spec.persistentVolumeReclaimPolicy", "Keep", ('spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": '
     'supported values: "Delete", "Recycle", "Retain"')),
    ("pvc", "spec.accessModes", ["ReadWriteOncePod", "ReadOnlyMany"],
     "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"),
    ("pvc", "spec.resources.requests", DROP, "spec.resources[storage]: Required value"),
    ("pvc", "spec.dataSourceRef", {"kind": "Pod", "name": ""}, ("spec.dataSource.name: Required value\n"
     "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup\n"
     "spec.dataSourceRef.name: Required value\n"
     "spec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup")),
    ("class", "provisioner", DROP, "provisioner: Required value"),
    ("class", "allowedTopologies", [{}], 'allowedTopologies[0].matchLabelExpressions: Duplicate value: ""'),
    ("class", "allowedTopologies", [{"matchLabelExpressions": [{"key": "a", "values": ["x", "x"]}]}],
     'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "x"'),
    ("attributes", "parameters", DROP, "parameters: Required value: must contain at least one key/value pair"),
    ("attachment", "spec.attacher", "", "spec.attacher: Required value\nspec.attacher: Required value"),
    ("attachment", "spec.nodeName", "N", f'spec.nodeName: Invalid value: "N": {SUBDOMAIN}'),
    ("attachment", "spec.source", {}, ("spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
     "persistentVolumeName")),
    ("attachment", "spec.source.inlineVolumeSpec", {}, ("spec.source: Forbidden: must specify exactly one of "
     "inlineVolumeSpec and persistentVolumeName")),
    ("attachment", "spec.source", {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/"}}},
     "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes"),
    ("driver", "spec.fsGroupPolicy", "X",
     'spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType"'),
    ("driver", "spec.volumeLifecycleModes", ["X"],
     'spec.volumeLifecycleModes: Unsupported value: "X": supported values: "Persistent", "Ephemeral"'),
    ("driver", "spec.tokenRequests", [{"audience": "a"}, {"audience": "a"}],
     'spec.tokenRequests[1].audience: Duplicate value: "a"'),
    ("driver", "spec.nodeAllocatableUpdatePeriodSeconds", 5, ("spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: "
     "must be greater than or equal to 10 seconds")),
    ("node", "spec.drivers[0].nodeID", "", "spec.drivers[0].nodeID: Required value"),
    ("node", "spec.drivers[0].allocatable", {"count": -1},
     "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"),
    ("node", "spec.drivers[1]", {"name": "d", "nodeID": "n"}, 'spec.drivers[1].name: Duplicate value: "d"'),
    ("capacity", "storageClassName", "C", f'storageClassName: Invalid value: "C": {SUBDOMAIN}'),
    ("capacity", "capacity", "-1", 'capacity: Invalid value: "-1": must be greater than or equal to 0'),
]  # fmt: skip
KEPT: list[tuple[str, str, Any, str]] = [
    ("pv", "spec.volumeMode", "Block", 'volumeMode: Invalid value: "Block": field is immutable'),
    ("class", "provisioner", "other", 'provisioner: Invalid value: "other": field is immutable'),
    ("class", "allowVolumeExpansion", True, ""),
    ("attributes", "driverName", "e", 'driverName: Invalid value: "e": field is immutable'),
    ("driver", "spec.attachRequired", False, "spec.attachedRequired: Invalid value: false: field is immutable"),
    ("driver", "spec.podInfoOnMount", True, ""),
    (
        "node",
        "spec.drivers[0].nodeID",
        "m",
        'spec.drivers: Invalid value: {"name":"d","nodeID":"m"}: field is immutable',
    ),
    ("node", "spec.drivers[0].allocatable", {"count": 4}, ""),
    ("capacity", "storageClassName", "d", 'storageClassName: Invalid value: "d": field is immutable'),
    ("capacity", "capacity", "2Gi", ""),
]


@pytest.mark.parametrize(("kind", "path", "value", "expected"), REFUSED)
async def test_refused(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].refuses(world, path, value, expected)


@pytest.mark.parametrize(("kind", "path", "value", "expected"), KEPT)
async def test_kept(world: World, kind: str, path: str, value: Any, expected: str) -> None:
    await PROBES[kind].keeps(world, path, value, expected)


async def test_defaults(world: World) -> None:
    made = await PROBES["driver"].create(world)
    assert made["spec"] == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
    }
    volume = await PROBES["pv"].create(world)
    assert (volume["spec"]["persistentVolumeReclaimPolicy"], volume["spec"]["volumeMode"]) == ("Retain", "Filesystem")
    assert volume["status"] == {"phase": "Pending"}


SOURCES: list[tuple[str, Any, str]] = [
    ("gitRepo", {"directory": "../a"}, ("spec.volumes[0].gitRepo.repository: Required value\n"
     "spec.volumes[0].gitRepo.directory: Invalid value: \"../a\": must not contain '..'")),
    ("gcePersistentDisk", {"partition": 300}, ("spec.volumes[0].persistentDisk.pdName: Required value\n"
     "spec.volumes[0].persistentDisk.partition: Invalid value: 300: must be an integer between 0 and 255 or empty")),
    ("iscsi", {"targetPortal": "p", "iqn": "x", "lun": 256}, ("spec.volumes[0].iscsi.iqn: Invalid value: \"x\": must be valid "
     "format starting with iqn, eui, or naa\n"
      "spec.volumes[0].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive")),
    ("fc", {}, "spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"),
    ("flocker", {"datasetName": "a/b"}, "spec.volumes[0].flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"),
    ("rbd", {"image": "i"}, "spec.volumes[0].rbd.monitors: Required value"),
    ("cephfs", {}, "spec.volumes[0].cephfs.monitors: Required value"),
    ("csi", {"driver": "A_"}, f'spec.volumes[0].csi.driver: Invalid value: "A_": {SUBDOMAIN}'),
    ("image", {"pullPolicy": "X"}, ("spec.volumes[0].image.reference: Required value\nspec.volumes[0].image.pullPolicy: "
     'Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"')),
    ("configMap", {"name": "c", "items": [{"key": "k", "path": "..x"}]},
     "spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'"),
    ("projected", {"sources": [{"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                               {"secret": {"name": "b", "items": [{"key": "k", "path": "p"}]}}]},
     'spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths'),
    ("projected", {"sources": [{"serviceAccountToken": {"path": ""}}]}, "spec.volumes[0].projected.path: Required value"),
    ("projected", {"sources": [{"clusterTrustBundle": {"path": "p"}}]}, ("spec.volumes[0].projected.sources[0]."
     "clusterTrustBundle: Required value: either name or signerName must be specified")),
    ("ephemeral", {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {"accessModes": ["ReadWriteOnce"]}}},
     ("spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set\n"
     "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value")),
]  # fmt: skip


@pytest.mark.parametrize(("source", "value", "expected"), SOURCES)
async def test_sources_of_a_pods_volume(world: World, source: str, value: Any, expected: str) -> None:
    pod = Probe(GVR("", "v1", "pods"), {"spec": {"containers": [{"name": "c", "image": "i"}]}})
    await pod.refuses(world, "spec.volumes", [{"name": "v", source: value}], expected)
