"""The supervisor with real child processes: it waits for them, never for time."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from wherry.cluster import private, processes, supervisor

# One supervisor over one role that records each of its starts in a file and then sleeps.
PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    from wherry.cluster.supervisor import Role, Supervisor
    folder, port, after = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    child = "import os,sys,time;fd=os.environ.get('LISTEN_FD','');open(sys.argv[1],'w').write(fd);time.sleep(1000)"
    role = Role("child", [sys.executable, "-c", child, str(folder / "started")], folder / "child.json",
                folder / "child.log", ("127.0.0.1", port) if port else None, after)
    Supervisor([role]).run()
""")


class Running:
    def __init__(self, folder, port=0, after=0.0):
        self.folder = folder
        os.mkfifo(folder / "started")
        self.port = port
        self.after = after
        self.process = self.launch()

    def launch(self):
        arguments = (str(self.folder), str(self.port), str(self.after))
        return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE)

    def started(self):
        """Wait until the child says that it started; what it said."""
        return (self.folder / "started").read_text()

    def child(self):
        return processes.running(self.folder / "child.json")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.process.stderr.close()


@pytest.fixture
def running(tmp_path):
    found = Running(tmp_path)
    found.started()
    yield found
    if found.process.poll() is None:
        found.end()


def test_a_killed_process_is_started_again(running):
    first = running.child()
    first.signal(signal.SIGKILL)
    running.started()
    second = running.child()
    assert second is not None
    assert second.pid != first.pid


def test_what_starts_later_starts_too(tmp_path):
    running = Running(tmp_path, after=0.01)
    running.started()
    assert running.child() is not None
    running.end()


def test_what_cannot_start_waits_longer_and_longer_and_what_is_killed_does_not():
    assert [supervisor.pause(failures, killed=False) for failures in (0, 1, 2, 3, 5, 50)] == [0, 0, 0.1, 0.2, 0.8, 5]
    assert [supervisor.pause(failures, killed=True) for failures in (0, 1, 2, 3, 5, 50)] == [0, 0, 0.1, 0.2, 0.4, 0.4]


def test_a_process_that_cannot_be_recorded_is_ended_and_started_later(running, tmp_path):
    first = running.child()
    (tmp_path / "child.json.tmp").mkdir()  # the pid file is written here first
    first.signal(signal.SIGKILL)
    said = [running.process.stderr.readline().decode() for _ in range(4)]
    assert "started process" in said[0]
    assert "killed by signal 9" in said[1]
    assert all("cannot start: [Errno 21] Is a directory" in line for line in said[2:])
    assert running.child() is None
    (tmp_path / "child.json.tmp").rmdir()
    running.started()
    while "started process" not in running.process.stderr.readline().decode():
        pass
    assert running.child() is not None


def test_what_is_written_over_in_place_is_whole_and_padded(tmp_path):
    path = tmp_path / "child.json"
    processes.Process(1234567, 89).write(path)
    before, size = path.stat().st_ino, path.stat().st_size
    private.overwrite(path, "{}")
    assert (path.stat().st_ino, path.stat().st_size) == (before, size)
    assert path.read_text().rstrip() == "{}"
    with pytest.raises(FileNotFoundError):
        private.overwrite(tmp_path / "other", "{}")


def test_stopping_ends_the_process_and_its_pid_file(running, tmp_path):
    child = running.child()
    running.end()
    assert not child.alive()
    assert not (tmp_path / "child.json").exists()


def test_a_new_supervisor_takes_over_what_a_killed_one_left(running):
    child = running.child()
    running.process.kill()
    running.process.wait()
    running.process.stderr.close()
    assert child.alive()
    running.process = running.launch()
    assert b"took over process" in running.process.stderr.readline()
    assert running.child() == child
    child.signal(signal.SIGKILL)
    running.started()
    assert running.child().pid != child.pid


def test_clients_wait_instead_of_being_refused_while_the_process_starts_again(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Running(tmp_path, port)
    try:
        assert running.started().isdigit()
        running.child().signal(signal.SIGKILL)
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        running.started()
    finally:
        running.end()
