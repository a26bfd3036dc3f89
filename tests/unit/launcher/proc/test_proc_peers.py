"""Who connects to the launcher's socket: processes below it are pods', whoever started it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import wherry

SOURCE = Path(wherry.__file__).parents[1]
LISTENER = """
import os, socket, sys
from wherry.launcher.proc.peers import is_of_a_pod
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
if os.fork() == 0:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(sys.argv[1])
        sock.recv(1)
    os._exit(0)
def told():
    sock, _ = listener.accept()
    with sock:
        print(is_of_a_pod(sock), flush=True)
told()
print("listens", flush=True)
told()
"""


def test_who_connects_from_below_is_a_pod(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    command = [
        "sh",
        "-c",
        '"$@"; true',
        "sh",
        sys.executable,
        "-c",
        LISTENER,
        path,
    ]  # a shell between us: shims are its parents
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline(), process.stdout.readline()] == ["True\n", "listens\n"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(path)
            assert process.stdout.readline() == "False\n"
