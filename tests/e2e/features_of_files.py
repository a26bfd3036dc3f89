"""What pods are promised of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kubectl import Kubectl
from manifests import Obj, config_map, container, pod, secret, shell
from tier_features import Feature, Seen, checked

IMAGE_OF_ITS_OWN = "own-root:v1"
"""Made by the test: a static program and nothing else."""


def mounted(
    name: str, text: str, script: str, volume: Obj, *, at: str = "/v", mount: Obj | None = None, **more: Any
) -> Feature:
    """A pod with one volume."""
    main = {"volumeMounts": [{"name": "v", "mountPath": at, **(mount or {})}], **more.pop("main", {})}
    return checked(name, text, script, main=main, volumes=[{"name": "v", **volume}], **more)


def _claim() -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk"}, "spec": spec}


def _live_update() -> Feature:
    """Changed by the look once the pod has said what was there before."""
    script = "echo $(cat /v/colour); while [ $(cat /v/colour) = blue ]; do sleep 0.05; done; cat /v/colour | grep red"

    def look(kubectl: Kubectl, seen: Seen) -> bool | None:
        if seen.phase == "Running" and kubectl("logs", "live") == "blue\n":
            kubectl.apply(config_map("changing", colour="red"))
        return {"Succeeded": True, "Failed": False}.get(seen.phase)

    return mounted(
        "live",
        "changed ConfigMaps and Secrets reach running containers",
        script,
        {"configMap": {"name": "changing"}},
        more=(config_map("changing", colour="blue"),),
        look=look,
    )


def _shared_empty_dir() -> Feature:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    writes = container(shell("echo written > /v/file"), "writes", **mount)
    reads = container(shell("until grep -q written /v/file; do sleep 0.05; done"), **mount)
    made = pod("empty-dir", reads, writes, volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never")
    return Feature("emptyDir, shared by a pod's containers", "empty-dir", (made,))


def _machines_memory() -> int:
    """The number of the file system that the machine's /dev/shm is."""
    return os.stat("/dev/shm").st_dev if os.path.exists("/dev/shm") else 0


def _shared_memory() -> Feature:
    """Of its containers, one of which ends before the other begins, and of nobody else."""
    before = container(shell("[ $(ls /dev/shm | wc -l) = 0 ]; echo first > /dev/shm/words"), "before")
    writes = container(shell("until [ $(wc -l < /dev/shm/words) = 2 ]; do sleep 0.05; done"), "writes")
    reads = container(
        shell("set -e; grep first /dev/shm/words; [ $(ls /dev/shm) = words ]; echo second >> /dev/shm/words")
    )
    made = pod("own-shm", reads, writes, initContainers=[before], restartPolicy="Never")
    return Feature("/dev/shm of its own, shared by its containers", "own-shm", (made,))


def _nested() -> Feature:
    mounts = [{"name": "inner", "mountPath": "/v/below/inner"}, {"name": "outer", "mountPath": "/v"}]
    return checked(
        "nested",
        "volumes inside volumes",
        "echo x > /v/outside; [ $(cat /v/below/inner/colour) = blue ]",
        main={"volumeMounts": mounts},
        volumes=[{"name": "outer", "emptyDir": {}}, {"name": "inner", "configMap": {"name": "settings"}}],
    )


def _stays_inside(_: Kubectl, seen: Seen) -> bool | None:
    outside = Path("/usr/local/mark-of-a-pod").exists()
    return {"Succeeded": not outside, "Failed": False}.get(seen.phase)


def _has_message(_: Kubectl, seen: Seen) -> bool | None:
    return bool(seen.ended.get("message") == "over\n") if seen.ended else None


def _foreign() -> Obj:
    made = pod("foreign", container([]), restartPolicy="Never")
    made["spec"]["containers"] = [{"name": "main", "image": IMAGE_OF_ITS_OWN, "imagePullPolicy": "Never"}]
    return made


SETTINGS = {"configMap": {"name": "settings"}}
FEATURES = (
    mounted(
        "config-map",
        "configMap volumes",
        '[ "$(cat /v/colour)" = blue ]',
        SETTINGS,
        more=(config_map("settings", colour="blue"),),
    ),
    _live_update(),
    mounted(
        "secret",
        "secret volumes, with modes",
        "[ $(stat -L -c %a /v/password) = 400 ]",
        {"secret": {"secretName": "login", "defaultMode": 0o400}},
        more=(secret("login", password="hidden"),),
    ),
    mounted(
        "projected",
        "projected volumes: tokens for an audience, downward API",
        "cut -d. -f2 /v/token | grep -q . && [ $(cat /v/name) = projected ]",
        {
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "token", "audience": "shop"}},
                    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]
            }
        },
    ),
    checked(
        "in-cluster",
        "the API, with the pod's token, from inside",
        """python3 -c '
import os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
host = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
asked = urllib.request.Request(f"https://{host}/api", headers={"Authorization": "Bearer " + open(folder + "token").read()})
urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=folder + "ca.crt")).read()'""",
    ),
    _shared_empty_dir(),
    mounted(
        "memory",
        "emptyDir of medium Memory, with its sizeLimit",
        "[ $(stat -f -c %T /v) = tmpfs ]; [ $(df -m --output=size /v | tail -1) = 8 ]",
        {"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        asks="emptyDir.medium",
        by_chance=True,
    ),
    mounted(
        "size-limit",
        "emptyDir.sizeLimit on disk",
        "exit 1",
        {"emptyDir": {"sizeLimit": "8Mi"}},
        asks="emptyDir.sizeLimit",
    ),
    mounted(
        "claim",
        "PersistentVolumeClaims",
        "echo kept > /v/file; cat /v/file",
        {"persistentVolumeClaim": {"claimName": "disk"}},
        more=(_claim(),),
    ),
    mounted(
        "ephemeral",
        "generic ephemeral volumes",
        "echo kept > /v/file; cat /v/file",
        {"ephemeral": {"volumeClaimTemplate": {"spec": _claim()["spec"]}}},
    ),
    mounted(
        "host-path",
        "hostPath",
        "[ -d /v/doc ]",
        {"hostPath": {"path": "/usr/share", "type": "Directory"}},
        mount={"readOnly": True},
    ),
    mounted(
        "sub-path",
        "subPath: one file among the image's",
        "grep -q blue /etc/one-colour; grep -q root /etc/passwd",
        SETTINGS,
        at="/etc/one-colour",
        mount={"subPath": "colour"},
    ),
    mounted(
        "sub-path-expr",
        "subPathExpr",
        "echo x > /v/file",
        {"emptyDir": {}},
        mount={"subPathExpr": "$(HOSTNAME_IS)"},
        main={"env": [{"name": "HOSTNAME_IS", "value": "a"}]},
    ),
    mounted(
        "read-only",
        "readOnly mounts",
        "[ -d /v ]; if touch /v/x; then exit 1; fi",
        {"emptyDir": {}},
        mount={"readOnly": True},
    ),
    _nested(),
    mounted(
        "among-libraries",
        "volumes below directories that the image has",
        "[ -e /usr/lib/settings/colour ]; cd /usr/lib/settings; [ $(cat colour) = blue ]",
        SETTINGS,
        at="/usr/lib/settings",
    ),
    mounted(
        "listed",
        "they are listed in those directories",
        "ls /usr/lib | grep -qx settings",
        SETTINGS,
        at="/usr/lib/settings",
        told="directories of the machine list what it has",
    ),
    mounted(
        "shm",
        "a volume at /dev/shm",
        "echo x > /dev/shm/mine; [ $(ls /dev/shm) = mine ]",
        {"emptyDir": {}},
        at="/dev/shm",
    ),
    mounted(
        "over-tmp",
        "a volume at /tmp, of its own without one",
        "[ $(ls /tmp | wc -l) = 0 ]; echo x > /tmp/x; cat /tmp/x",
        {"emptyDir": {}},
        at="/tmp",
    ),
    mounted("in-proc", "a volume at /proc/x", "[ $(cat /proc/x/colour) = blue ]", SETTINGS, at="/proc/x"),
    mounted("root", "a volume in the place of the root", "[ $(cat /colour) = blue ]", SETTINGS, at="/"),
    mounted(
        "outside-in",
        "mountPropagation HostToContainer",
        "echo x > /v/x",
        {"emptyDir": {}},
        mount={"mountPropagation": "HostToContainer"},
    ),
    mounted(
        "inside-out",
        "mountPropagation Bidirectional",
        "true",
        {"emptyDir": {}},
        mount={"mountPropagation": "Bidirectional"},
        main={"securityContext": {"privileged": True}},
    ),
    mounted(
        "network-disk",
        "volumes of other kinds: nfs, csi, image …",
        "true",
        {"nfs": {"server": "192.0.2.1", "path": "/"}},
    ),
    checked(
        "own-root",
        "a root that the container may change, and no other sees",
        'echo mine > /usr/local/mark-of-a-pod; [ "$(cat /usr/local/mark-of-a-pod)" = mine ]',
        look=_stays_inside,
    ),
    checked(
        "read-only-root",
        "readOnlyRootFilesystem",
        "if touch /usr/local/x; then exit 1; fi; [ ! -e /usr/local/x ]",
        main={"securityContext": {"readOnlyRootFilesystem": True}},
    ),
    Feature("images with a root file system of their own", "foreign", (_foreign(),)),
    checked(
        "directory",
        "workingDir, made if it is missing",
        "[ $(pwd) = /srv/made ]; echo x > here; cat /srv/made/here",
        main={"workingDir": "/srv/made"},
    ),
    checked(
        "message",
        "terminationMessagePath",
        "echo over > /srv/last-words",
        main={"terminationMessagePath": "/srv/last-words"},
        look=_has_message,
    ),
    _shared_memory(),
    checked(
        "shm-size",
        "64 MiB of /dev/shm",
        f"[ $(stat -c %d /dev/shm) != {_machines_memory()} ]; [ $(($(stat -fc '%b * %S' /dev/shm))) = {64 << 20} ]",
        told="limits, that of /dev/shm too",
    ),
)
