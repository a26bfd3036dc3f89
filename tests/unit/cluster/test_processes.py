import os
import signal
import subprocess

from wherry.cluster import processes
from wherry.cluster.processes import Process


def sleeper():
    return subprocess.Popen(["sleep", "1000"])


def test_a_pid_file_names_a_process_only_while_it_runs(tmp_path):
    file = tmp_path / "sleeper.json"
    child = sleeper()
    recorded = processes.record(child.pid, file)
    assert processes.running(file) == recorded
    recorded.signal(signal.SIGKILL)
    assert recorded.wait(10)
    assert processes.running(file) is None  # a zombie does not run
    child.wait()
    assert processes.running(file) is None


def test_a_reused_pid_is_not_mistaken_for_the_process(tmp_path):
    other = Process(os.getpid(), processes.start_time(os.getpid()) - 1)
    assert not other.alive()
    assert other.open() is None
    other.signal(signal.SIGKILL)  # and lives
    other.write(tmp_path / "x.json")
    assert processes.running(tmp_path / "x.json") is None


def test_a_damaged_pid_file_is_no_process(tmp_path):
    (tmp_path / "x.json").write_text("{")
    assert processes.running(tmp_path / "x.json") is None
