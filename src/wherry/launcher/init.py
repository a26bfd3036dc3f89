"""The init of one pod: pid 1 of its pid namespace, forked by the launcher and never exec'ed.

It makes the pod's namespaces and network, holds them, forks containers and exec'ed processes, reaps whatever becomes an
orphan, writes logs and reports starts and exits. It ends only by SIGKILL, or when the launcher is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from wherry.launcher import attached, cgroups, container, pod_network, protocol, rootfs, syscalls
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.hints import explain
from wherry.launcher.logs import LogFile
from wherry.launcher.loop import Loop, after_fork, reap
from wherry.launcher.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, mount
from wherry.launcher.output import Stream, Tee
from wherry.launcher.processes import Birth, Running, Session
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.requests import Operation, Request, dispatch
from wherry.launcher.specs import ContainerSpec, SandboxSpec
from wherry.launcher.stdio import Stdio
from wherry.launcher.syscalls import SyscallError

SHARED_MEMORY_BYTES = 64 * 1024 * 1024  # /dev/shm of a pod, as container runtimes make it


def live(context: Context, sandbox_id: str, spec: SandboxSpec, sock: socket.socket, link: int) -> NoReturn:
    """Be the init. `link` is the interface index the node's end of the pod's veth gets. Never returns."""

    def begin() -> PodInit:
        syscalls.set_process_name("wherry-pod")
        init = PodInit(context, sandbox_id, spec)
        netns = init.set_up(link)
        protocol.send(sock, {"event": "ready"}, [netns, os.pidfd_open(os.getpid())])
        os.close(netns)
        return init

    become(sock, begin)


def become(sock: socket.socket, begin: Callable[[], PodInit | None]) -> NoReturn:
    """In a fresh fork: `begin` an init and serve. None: it is not needed any more. Never returns."""
    status = 1
    try:
        after_fork()
        syscalls.close_all_but({sock.fileno(), 2})
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        gc.disable()  # no cycles are made here, and a collection would touch, and so copy, every page we share
        try:
            init = begin()
        except (LauncherError, OSError) as error:
            text = explain(error) if isinstance(error, SyscallError) else str(error)
            protocol.send(sock, {"event": "failed", "message": text})
        else:
            if init is not None:
                init.serve(sock)
        status = 0
    except BaseException:  # noqa: BLE001 -- a fork must not run its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class PodInit:
    """One per pod. `serve` answers the launcher until the end."""

    def __init__(self, context: Context, sandbox_id: str, spec: SandboxSpec) -> None:
        self._context = context
        self._id = sandbox_id
        self._spec = spec
        self._loop = Loop()
        self._containers: dict[str, Running] = {}
        self._execs: dict[int, Session] = {}
        self._connection: Connection | None = None
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def set_up(self, link: int) -> int:
        """Namespaces, network, shared memory; a descriptor of the network namespace. Raises SyscallError, LauncherError."""
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
        if self._spec["host_network"]:
            syscalls.unshare(flags)
        else:
            pod_network.create(self._id, self._spec["ip"], self._context.options.pod_gateway, link, flags)
            syscalls.sethostname(self._spec["hostname"])
        size = f"mode=1777,size={SHARED_MEMORY_BYTES}"
        mount("shm", self._context.shared_memory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, size)
        for path, limit in self._spec["memory_volumes"].items():
            options = "mode=1777" + (f",size={limit}" if limit else "")
            mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options)
        for name, value in self._spec["sysctls"].items():
            _sysctl(name, value)
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self, sock: socket.socket) -> None:
        operations: dict[str, Operation] = {
            "start": self._start,
            "kill": self._kill,
            "exec": self._exec,
            "attach": self._attach,
            "reopen": self._reopen,
        }

        def message(connection: Connection, message: Message, fds: list[int]) -> None:
            dispatch(operations, Request(connection, message, fds))

        self._loop.on_child_exit(self._reap)
        self._connection = Connection(self._loop, sock, message, lambda _: self._loop.stop())
        self._loop.run()

    def _report(self, event: str, **details: Any) -> None:
        assert self._connection is not None
        self._connection.send({"event": event, **details})

    # containers

    def _start(self, request: Request) -> None:
        """Fork a container; answers when execve has happened or failed."""
        container_id: str = request.text("id")
        spec = request.args["spec"]
        group = f"{self._id}/{container_id}"
        cgroups.create(self._context.cgroups, group, spec["resources"])
        stdio = Stdio(tty=spec["tty"], stdin=spec["stdin"])
        writable = rootfs.Writable(request.text("writable"))

        pid, namespace, ours = self._begin(spec, writable, stdio.theirs)
        stdio.close_theirs()
        # A child whose log cannot be made hears nothing more from us, and ends.
        log = LogFile(os.path.join(self._spec["log_directory"], spec["log_path"])) if spec["log_path"] else None
        running = Running(container_id, spec, pid, os.pidfd_open(pid), group, namespace, writable, log)
        self._containers[container_id] = running
        running.stdin = stdio.take_stdin()
        for name, fd in stdio.take_outputs():
            running.streams[name] = Stream(self._loop, fd, name, log)

        def master(fd: int) -> None:
            running.stdin = fd
            running.streams["stdout"] = Stream(self._loop, os.dup(fd), "stdout", log)

        def done(error: Message | None) -> None:
            if error is not None:
                running.failure = error
                request.refuse(error["reason"], error["message"])
                return
            running.started = True
            node_pid = _node_pid(running.pidfd)
            self._report("started", container=container_id, namespace=running.namespace, pid=node_pid, at=time.time())
            request.answer()

        running.birth = Birth(self._loop, ours, master, done, lambda message, fds: self._ready(running, message, fds))
        try:
            cgroups.join(self._context.cgroups, group, pid)
        except OSError as error:
            running.signal(signal.SIGKILL)
            running.birth.abort("RunContainerError", str(error))
        else:
            running.birth.go()

    def _begin(
        self, spec: ContainerSpec, writable: rootfs.Writable, stdio: list[int]
    ) -> tuple[int, str, socket.socket]:
        """Fork a container: its number here, the name of its namespace, and where it reports."""
        ours, theirs = protocol.socketpair()
        pid, namespace = self._fork_child(shared=self._spec["share_process_namespace"])
        if pid == 0:
            container.become(spec, self._spec, writable, self._context, theirs, stdio)
        theirs.close()
        return pid, namespace, ours

    def _ready(self, running: Running, message: Message, fds: list[int]) -> None:
        """A process of the container is about to execve; `fds` are closed afterwards."""
        running.namespace = running.namespace or f"mnt:{message['mounts']}"

    def _fork_child(self, *, shared: bool) -> tuple[int, str]:
        """Fork into a new pid namespace (or ours); pid in ours, and the namespace's name. 0 in the child."""
        if shared:
            return os.fork(), ""
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = 1  # whatever happens before the fork, it is not the child that restores
        try:
            pid = os.fork()
            inode = os.stat("/proc/self/ns/pid_for_children").st_ino if pid else 0
        finally:
            if pid:
                syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)
        return pid, f"pid:{inode}"

    def _kill(self, request: Request) -> None:
        """Signal a container's first process; one that has ended is no error."""
        running = self._containers.get(request.text("id"))
        if running is not None:
            self._signal(running, request.number("signal"))
        request.answer()

    def _signal(self, running: Running, number: int) -> None:
        running.signal(number)

    def _reopen(self, request: Request) -> None:
        running = self._running(request)
        for stream in running.streams.values():
            stream.reopen_log()
        request.answer()

    def _running(self, request: Request) -> Running:
        running = self._containers.get(request.text("id"))
        if running is None or not running.started or running.exit is not None:
            raise LauncherError("NotRunning", f"container {request.text('id')[:12]} is not running")
        return running

    # processes beside a container's first one

    def _exec(self, request: Request) -> None:
        """Fork a process into a running container; answers with its descriptors and leash once execve has happened."""
        running = self._running(request)
        argv, tty = request.args["argv"], bool(request.args["tty"])
        stdio = Stdio(tty=tty, stdin=bool(request.args["stdin"]))
        ours, theirs = protocol.socketpair()

        pid = self._fork_child_beside(running)
        if pid == 0:
            self._become_beside(argv, running, theirs, stdio.theirs, tty=tty)
        theirs.close()
        stdio.close_theirs()
        leash, client = protocol.socketpair()
        session = self._execs[pid] = Session(self._loop, leash, lambda: _kill_group(pid))

        def done(error: Message | None) -> None:
            if error is not None:
                request.refuse(error["reason"], error["message"])
                session.close()
            else:
                request.answer(stdio.description(), [client.fileno(), *stdio.ours])
            client.close()
            stdio.close_ours()

        Birth(self._loop, ours, stdio.set_master, done, lambda message, fds: self._ready(running, message, fds))
        try:
            cgroups.join(self._context.cgroups, running.group, pid)
        except OSError:  # it has ended already
            pass

    def _become_beside(
        self, argv: list[str], running: Running, status: socket.socket, stdio: list[int], *, tty: bool
    ) -> NoReturn:
        """In the fork."""
        attached.become(
            argv, running.spec, self._spec["hostname"], self._context, status, stdio, running.pidfd, tty=tty
        )

    def _fork_child_beside(self, running: Running) -> int:
        """Fork into the pid namespace of a container; 0 in the child."""
        if self._spec["share_process_namespace"]:
            return os.fork()
        syscalls.setns(running.pidfd, syscalls.CLONE_NEWPID)
        pid = 1
        try:
            pid = os.fork()
        finally:
            if pid:
                syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)
        return pid

    def _attach(self, request: Request) -> None:
        """A copy of a running container's output, and its input if it has one and that was asked for."""
        running = self._running(request)
        leash, client = protocol.socketpair()
        session = Session(self._loop, leash, lambda: self._detach(running, session))
        running.sessions.append(session)
        description, fds = {"stdin": False, "stdout": False, "stderr": False}, []
        if request.args["stdin"] and running.stdin >= 0:
            fds.append(os.dup(running.stdin))
            description["stdin"] = True
            if running.spec["stdin_once"] and not running.spec["tty"]:
                os.close(running.stdin)  # the end of the client's input becomes the container's end of file
                running.stdin = -1
        for name, stream in running.streams.items():
            read, write = os.pipe()
            tee = Tee(self._loop, write)
            stream.add(tee)
            session.tees.append((stream, tee))
            fds.append(read)
            description[name] = True
        request.answer(description, [client.fileno(), *fds])
        client.close()
        protocol.close_fds(fds)

    def _detach(self, running: Running, session: Session) -> None:
        for stream, tee in session.tees:
            stream.remove(tee)
        if session in running.sessions:
            running.sessions.remove(session)

    # ends

    def _reap(self) -> None:
        for pid, code in reap():
            session = self._execs.pop(pid, None)
            if session is not None:
                session.end(code)
                continue
            for running in list(self._containers.values()):
                if running.pid == pid:
                    running.exit = code
                    self._ended(running)

    def _ended(self, running: Running) -> None:
        """Everything of the container is over: its log is complete before anybody hears of it."""
        if running.birth is not None:
            running.birth.settle()
        del self._containers[running.id]
        for stream in running.streams.values():
            stream.drain()
        for session in running.sessions:
            session.end(running.exit or 0)
        running.close()
        rootfs.gather(running.writable)
        oom = cgroups.oom_kills(self._context.cgroups, running.group) > 0
        cgroups.remove(self._context.cgroups, running.group)
        self._report(
            "exited", container=running.id, code=running.exit, oom=oom, failure=running.failure, at=time.time()
        )


def _kill_group(pid: int) -> None:
    """An exec'ed process leads its own session; what it started goes with it."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return


def _sysctl(name: str, value: str) -> None:
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError as error:
        raise LauncherError(
            "CreatePodSandboxError", f"sysctl {name}={value}: {os.strerror(error.errno or 0)}"
        ) from error


def _node_pid(pidfd: int) -> int:
    """The number of a process in the /proc we see, which is the node's; 0 when it has ended."""
    with open(f"/proc/self/fdinfo/{pidfd}") as lines:
        return next((max(int(line[4:]), 0) for line in lines if line.startswith("Pid:")), 0)
