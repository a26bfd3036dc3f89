"""A file system that is really full, under a whole system and the shop: what was acknowledged stays, and all of it comes back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, TypeVar

import pytest
from shop_system import SECONDS, ShopSystem
from wherry_system import Tier, WherrySystem, until

from wherry.testing.launcher_process import is_root_of_machine

pytestmark = pytest.mark.timeout(1.5 * SECONDS)
SIZE = "1200M"  # the shop with its images takes some 400 MB
T = TypeVar("T")
RESTARTED = ("netd", "node-agent")
"""On a full disk; a control plane needs some room to open its storage, and is back once there is."""


@pytest.fixture(scope="module")
def small() -> Iterator[WherrySystem]:
    """Its state lies on a small file system of its own, which evicts as a node of a real cluster would."""
    if not is_root_of_machine():
        pytest.skip("a file system of one's own takes root")
    system = WherrySystem(Tier("ns-root"), state="disk/state")
    disk = system.state.parent
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "wherry-test", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        thresholds = ("--eviction-hard", "nodefs.available<10%", "--eviction-pressure-transition-period", "1s")
        system.start(*thresholds)
        yield system
    finally:
        system.wherry("down", "--delete")
        subprocess.run(["umount", str(disk)], check=True)
        system.close()


def free(system: WherrySystem) -> int:
    found = os.statvfs(system.state)
    return found.f_bavail * found.f_frsize


def answer(ask: Callable[[], T]) -> T | None:
    """None while who is asked is starting, or has no room."""
    try:
        return ask()
    except (OSError, HTTPException):
        return None


def evicted_by(api: Any) -> bool:
    """Whether the node's agent knows of a pod that had to go."""
    (node,) = api.call("/api/v1/nodes")["items"]
    pods = api.call(f"/api/v1/nodes/{node['metadata']['name']}/proxy/pods")["items"]
    return any(one["status"].get("reason") == "Evicted" for one in pods)


def test_the_shop_outlives_a_full_disk(small: WherrySystem) -> None:
    """While it sells: databases of services and of the API cannot grow, pods are evicted, our own processes are killed."""
    shop = ShopSystem(small)
    api, maps, jobs = shop.api(), "/api/v1/namespaces/default/configmaps", "/apis/batch/v1/namespaces/shop/jobs"
    made = []

    def make() -> bool:
        """Whether it was acknowledged."""
        body = {"metadata": {"generateName": "c-"}, "data": {"text": "x" * 50_000}}
        if new := answer(lambda: api.call(maps, "POST", body)):
            made.append(new["metadata"]["name"])
        return new is not None

    def restocked() -> bool:
        """The oracle has filled the shelves; its visitors come at once."""
        found = (one for one in api.call(jobs)["items"] if one["metadata"]["name"].startswith("restock"))
        return any(one["status"].get("succeeded") for one in found)

    with ThreadPoolExecutor(1) as pool:
        verify = ("verify.py", *shop.where, "--orders", "24", "--kills", "0", "--seed", "4")
        books = pool.submit(shop.run, *verify)
        until(lambda: restocked() or books.done(), "visitors come", SECONDS / 2)
        with shop.chaos("disk", "filesystem", "--leave", "300Ki", "--for", "3m"):
            until(lambda: free(small) < 1 << 20, "the disk is full")
            until(lambda: not make(), "and what has no room is refused")
            until(lambda: small.status()["state"] == "running", "none of ours has ended of it")
            for role in RESTARTED:
                small.back(role, small.kill(role))
            until(lambda: answer(lambda: evicted_by(api)), "the agent evicts, though nothing of it can be written", 60)
            small.kill("control-plane")
        until(lambda: free(small) > 100 << 20, "it is given back")
        until(lambda: answer(shop.evicted), "and now it is", 60)
        until(make, "writes are taken again", 60)
        names = {one["metadata"]["name"] for one in api.call(maps)["items"]}
        assert names >= set(made)
        text = books.result()
    assert "every book agrees" in text
    until(lambda: small.status()["state"] == "running", "whole again", 60)


def test_a_disk_is_given_back_when_the_command_is_killed(small: WherrySystem) -> None:
    before = free(small)
    command = [small.tier.python, "-u", "-m", "wherry", "chaos", "disk", "filesystem", "--leave", "200Mi"]
    where = ["--name", small.name, "--state-dir", str(small.state)]
    with subprocess.Popen([*command, *where], stdout=subprocess.PIPE, env=small.environment()) as run:
        assert run.stdout is not None
        assert b"of=filesystem" in run.stdout.readline()
        until(lambda: free(small) < min(before, 210 << 20), "it is taken")
        run.send_signal(signal.SIGKILL)
        run.wait()
    until(
        lambda: free(small) > (before + (210 << 20)) // 2,
        "the kernel took it back, whatever pods have written meanwhile",
    )
