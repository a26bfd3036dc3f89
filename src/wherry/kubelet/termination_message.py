"""The last words of a container: the file at terminationMessagePath, or the end of its log.

Sizes by Kubernetes' "Determine the Reason for Pod Failure": 4096 bytes of the file; of the log 2048 bytes or 80 lines.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig

FILE_BYTES_MAX = 4096
LOG_BYTES_MAX = 2048
LOG_LINES_MAX = 80
LOG_READ_BYTES = 16 * 1024  # CRI lines carry some 40 bytes of head; enough to hold LOG_BYTES_MAX of short lines


def message_file(config: NodeConfig, uid: str, container: str, attempt: int) -> Path:
    """The file that is mounted at terminationMessagePath; one for each attempt, kept until the pod is gone."""
    return config.pod_directory(uid) / "containers" / container / str(attempt)


def make_message_file(config: NodeConfig, uid: str, container: str, attempt: int) -> Path:
    """Empty and writable for every user of the container."""
    path = message_file(config, uid, container, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)
    return path


def termination_message(config: NodeConfig, pod: Obj, container: Obj, ended: ContainerStatus) -> str:
    """What an ended container left behind; empty when it left nothing."""
    name, uid = ended.config.name, pod_spec.uid_of(pod)
    text = ""
    with contextlib.suppress(OSError), message_file(config, uid, name, ended.config.attempt).open("rb") as file:
        text = file.read(FILE_BYTES_MAX).decode(errors="replace")
    if text or container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or ended.exit_code == 0:
        return text
    logs = config.log_directory(pod_spec.namespace_of(pod), pod_spec.name_of(pod), uid)
    return _log_tail(logs / ended.config.log_path)


def _log_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - LOG_READ_BYTES, 0))
            raw = file.read()
    except OSError:
        return ""
    lines = [parts[3] for line in raw.splitlines(keepends=True) if len(parts := line.split(b" ", 3)) == 4]
    return b"".join(lines[-LOG_LINES_MAX:])[-LOG_BYTES_MAX:].decode(errors="replace")
