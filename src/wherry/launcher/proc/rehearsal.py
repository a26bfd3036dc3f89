"""What a pod's init and a container's process do at their beginning, done once while they wait to be needed.

A fork copies each page of memory at its first write, and Python writes to all that it touches: some hundred pages each, half a
millisecond of every start, are copied here, before anybody waits for it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from wherry.launcher import identity, protocol
from wherry.launcher.logs import LogFile
from wherry.launcher.loop import Loop
from wherry.launcher.output import Stream
from wherry.launcher.proc import executables, image_files, kits, promises
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.image_files import IMAGES
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths
from wherry.launcher.processes import Birth
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec
from wherry.launcher.stdio import Stdio

_PROGRAM = "true"
_EXAMPLE: ContainerSpec = {
    "name": "rehearsal",
    "argv": [_PROGRAM],
    "rootfs": {"layers": [], "host": True},
    "image": "",
    "image_id": "",
    "env": {"NAME": "value"},
    "cwd": "/",
    "mounts": [{"source": "/etc/hosts", "target": "/etc/hosts", "readonly": True, "propagation": "None"}],
    "uid": 0,
    "gid": 0,
    "groups": [],
    "readonly_rootfs": False,
    "no_new_privileges": True,
    "privileged": False,
    "drop_capabilities": [],
    "add_capabilities": [],
    "tty": False,
    "stdin": False,
    "stdin_once": False,
    "resources": {"cpu_request": None, "cpu_limit": None, "memory_limit": None, "pids_limit": None},
    "attempt": 0,
    "log_path": "",
    "oom_score_adj": 0,
    "labels": {},
}


def become_container(state: str, kit: str) -> None:
    """With the directories of `kit`, in which nothing is left that was not there. What fails here fails at the start, and is said
    then."""
    with suppress(OSError, LauncherError):
        spec: ContainerSpec = json.loads(json.dumps(_EXAMPLE))
        writable = Writable(kit + kits.CONTAINER)
        image_files.stored([kit], state)  # the first hash is dear
        paths = Paths(promises.prepare(spec, writable, os.path.join(state, IMAGES)))
        guest = Guest.of_files(paths, Overlay(os.fsencode(os.path.realpath(writable.upper)), b""))
        executables.locate(b"/", guest)
        program = executables.find_program(_PROGRAM, identity.environment(spec, "rehearsal", tty=False), guest)
        executables.words_of_script(program, guest)


def start_container(kit: str) -> None:
    """As the init does, with the log of `kit`, which stays empty."""
    with suppress(OSError):
        log = LogFile(kit + kits.LOG)
        loop, stdio = Loop(), Stdio(tty=False, stdin=False)
        ours, theirs = protocol.socketpair()
        with ours, theirs:
            protocol.send(theirs, {"spec": _EXAMPLE}, stdio.theirs)
            received = protocol.receive(ours)
            protocol.close_fds(received[1] if received else [])
            protocol.send(theirs, {"ready": True})
            os.close(os.pidfd_open(os.getpid()))
            streams = [Stream(loop, fd, name, log) for name, fd in stdio.take_outputs()]
            Birth(loop, ours, _ignore, _ignore, _ignore).settle()
        stdio.close_theirs()
        for stream in streams:
            stream.drain()
        log.close()
        loop.close()


def _ignore(*_: object) -> None:
    pass
